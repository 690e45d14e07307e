"""Jobs: every long run is a process of its own that appends events to a store; its state is a fold over them."""
