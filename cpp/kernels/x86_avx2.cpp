// The kernels for AVX2 (Haswell and later, Zen and later).
#include "kernels.h"

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define ASPD_TABLE avx2_kernels
#define ASPD_NAME "AVX2"
#define ASPD_RUNS (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#include "x86_kernels.inc"
#else
const aspd::kernels::Kernels* aspd::kernels::avx2_kernels() { return nullptr; }
#endif
