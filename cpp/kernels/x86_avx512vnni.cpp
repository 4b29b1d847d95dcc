// The kernels for AVX-512 VNNI (Ice Lake and later, Zen 4), on 256 bits.
#include "kernels.h"

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__FMA__) && defined(__F16C__)
#define ASPD_TABLE avx512_vnni_kernels
#define ASPD_NAME "AVX-512 VNNI"
#define ASPD_RUNS (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl"))
#define ASPD_VNNI
#define ASPD_DPBUSD _mm256_dpbusd_epi32
#include "x86_kernels.inc"
#else
const aspd::kernels::Kernels* aspd::kernels::avx512_vnni_kernels() { return nullptr; }
#endif
