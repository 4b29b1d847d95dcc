// The kernels for AVX-VNNI (Alder Lake and later, Zen 5).
#include "kernels.h"

#if defined(__AVXVNNI__) && defined(__FMA__) && defined(__F16C__)
#define ASPD_TABLE avx_vnni_kernels
#define ASPD_NAME "AVX-VNNI"
#define ASPD_RUNS (has_avx_vnni() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define ASPD_VNNI
#define ASPD_DPBUSD _mm256_dpbusd_avx_epi32
#include <cpuid.h>

namespace {
// GCC before 13 does not know the name.
bool has_avx_vnni() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4U)) != 0;
}
}  // namespace
#include "x86_kernels.inc"
#else
const aspd::kernels::Kernels* aspd::kernels::avx_vnni_kernels() { return nullptr; }
#endif
