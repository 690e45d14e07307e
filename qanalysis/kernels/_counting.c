/* Counts of float32 values by bin: one pass over memory, in the threads of PyTorch's own OpenMP team.
 *
 * Compiled when the package is installed, if a C compiler is there; nn/counting.py loads it and holds the same in
 * PyTorch's operations. Not linked with OpenMP: its symbols are those that PyTorch has loaded, so that no second team of
 * threads is started.
 */
#include <stdint.h>
#include <string.h>

#define BINS 4096 /* on each side of zero, a power of two; as numerics.histogram.BINS */
#define TABLES 4 /* neighbours are counted in tables by turns: half of what ReLU returns is zero, and adding to one counter
                    twice in a row waits for memory */
#define BLOCK 1024 /* values whose bins are computed (in vectors) before they are counted (one by one): fits the L1 cache */
#define PART (1 << 17) /* fewest values worth a thread: clearing and adding its tables takes as long as some 16,000 */

#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif

typedef uint32_t Tables[TABLES][2 * BINS]; /* 32 bits overflow beyond 2**34 equal values, 64 GiB of them */

FOR_EVERY_PROCESSOR
static void count_part(const float *values, int64_t size, float inverse_width, Tables tables)
{
    uint16_t bins[BLOCK];
    for (int64_t start = 0; start < size; start += BLOCK) {
        const float *block = values + start;
        int length = size - start < BLOCK ? (int)(size - start) : BLOCK;
        for (int i = 0; i < length; i++) {
            float scaled = block[i] * inverse_width; /* exact: a power of two */
            int32_t bin = (int32_t)scaled;
            bin -= scaled < (float)bin; /* floor */
            bin -= (block[i] < 0) & (bin == 0); /* a small negative value may scale to -0 */
            bins[i] = (uint16_t)((bin + BINS) & (2 * BINS - 1)); /* never beyond the tables, whatever the value */
        }
        int i = 0;
        for (; i + TABLES <= length; i += TABLES)
            for (int table = 0; table < TABLES; table++)
                tables[table][bins[i + table]]++;
        for (; i < length; i++)
            tables[0][bins[i]]++;
    }
}

/* Adds the counts of `size` values to `counts`, of 2 * BINS. */
void qanalysis_count(const float *values, int64_t size, float inverse_width, int64_t *counts, int threads)
{
    int64_t enough = size / PART > 1 ? size / PART : 1;
    int parts = enough < threads ? (int)enough : threads;
    int64_t length = (size + parts - 1) / parts;
    /* The whole team or none: OpenMP starts and ends threads when the size of its team changes. */
    #pragma omp parallel for num_threads(threads) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        int64_t start = part * length;
        int64_t end = start + length < size ? start + length : size;
        Tables tables;
        memset(tables, 0, sizeof tables);
        count_part(values + start, end - start, inverse_width, tables);
        #pragma omp critical
        for (int i = 0; i < 2 * BINS; i++)
            for (int table = 0; table < TABLES; table++)
                counts[i] += tables[table][i];
    }
}
