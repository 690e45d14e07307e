"""One table of bad and odd input: what people may type, hand over or ask for, and what they must be told.

A case is one line in one of the lists (`command_line`, `models`, `networks`, `data`, `files`, `store`, `security`,
`pages`): its name, how to make it, and what must be said. `test_cases` runs all of them alike: no traceback, one line of
at most 300 characters, the right exit code, within ten seconds, and nothing out of a file is executed. To add one, add a
line; what it needs is made in `folder`, an empty folder of its own.

    Case("a folder as checkpoint", cli("describe", "--model", "checkpoint:{folder}?arch=sample:resnet20"), says="folder")
"""
