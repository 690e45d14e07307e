/* Fake quantization of float32 values in one pass over memory, forward and backward, in PyTorch's own OpenMP team.
 *
 * Compiled when the package is installed, if a C compiler is there; numerics/compiled.py loads it, and
 * numerics/quantize.py holds the same in PyTorch's operations. Not linked with OpenMP: its symbols are those that
 * PyTorch has loaded, so that no second team of threads is started.
 */
#include <math.h>
#include <stdint.h>

#define PART (1 << 15) /* fewest values worth a thread */
#define LANES 16 /* sums that are kept side by side, in one vector */
#define BLOCK 4096 /* values whose gradients are added in float32 before they go into a float64 */

#if defined(__x86_64__) && defined(__gnu_linux__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif

FOR_EVERY_PROCESSOR
static void round_part(const float *x, float *y, int64_t size, float scale, float zero, float low, float high,
                       float step)
{
    for (int64_t i = 0; i < size; i++) {
        float code = rintf(x[i] * scale) + zero; /* half to even */
        code = code < low ? low : code; /* comparisons, so that NaN stays NaN */
        code = code > high ? high : code;
        y[i] = (code - zero) * step;
    }
}

FOR_EVERY_PROCESSOR
static double clip_part(const float *gradient, const float *x, float *to_x, int64_t size, float edge)
{
    double sum = 0;
    for (int64_t start = 0; start < size; start += BLOCK) {
        int64_t end = start + BLOCK < size ? start + BLOCK : size, i = start;
        float sums[LANES] = {0};
        for (; i + LANES <= end; i += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                float g = gradient[i + lane], value = x[i + lane];
                float clipped = value >= edge ? g : value <= -edge ? -g : 0;
                sums[lane] += clipped;
                to_x[i + lane] = value <= -edge || value >= edge ? 0 : g;
            }
        for (; i < end; i++) {
            sums[0] += x[i] >= edge ? gradient[i] : x[i] <= -edge ? -gradient[i] : 0;
            to_x[i] = x[i] <= -edge || x[i] >= edge ? 0 : gradient[i];
        }
        for (int lane = 0; lane < LANES; lane++)
            sum += sums[lane];
    }
    return sum;
}

static int parts_of(int64_t size, int threads)
{
    int64_t enough = size / PART > 1 ? size / PART : 1;
    return enough < threads ? (int)enough : threads;
}

/* y = (clip(rint(x scale) + zero, low, high) - zero) step; x and y may be the same. */
void qanalysis_fake_quantize(const float *x, float *y, int64_t size, float scale, float zero, float low, float high,
                             float step, int threads)
{
    int parts = parts_of(size, threads);
    int64_t length = (size + parts - 1) / parts;
    #pragma omp parallel for num_threads(threads) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        int64_t start = part * length, rest = size - start;
        if (rest > 0)
            round_part(x + start, y + start, rest < length ? rest : length, scale, zero, low, high, step);
    }
}

/* to_x = 0 where |x| >= edge, else the gradient; returns the sum of the others, those at the lower end negative. */
double qanalysis_clip_gradient(const float *gradient, const float *x, float *to_x, int64_t size, float edge,
                               int threads)
{
    int parts = parts_of(size, threads);
    int64_t length = (size + parts - 1) / parts;
    double sum = 0;
    #pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : sum) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        int64_t start = part * length, rest = size - start;
        if (rest > 0)
            sum += clip_part(gradient + start, x + start, to_x + start, rest < length ? rest : length, edge);
    }
    return sum;
}
