// The kernels for AVX-512 VNNI (Ice Lake and later, Zen 4).
#include "kernels.h"

// GCC's own header (12 and later) leaves registers undefined on purpose and then warns of it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__) && defined(__FMA__) && \
    defined(__F16C__)
#define ASPD_TABLE avx512_vnni_kernels
#define ASPD_NAME "AVX-512 VNNI"
#define ASPD_RUNS                                                                \
  (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl") && \
   __builtin_cpu_supports("avx512bw"))
#define ASPD_VNNI
#define ASPD_SIXTEEN_ROWS
#define ASPD_DPBUSD _mm256_dpbusd_epi32
#include "x86_kernels.inc"
#else
const aspd::kernels::Kernels* aspd::kernels::avx512_vnni_kernels() { return nullptr; }
#endif
