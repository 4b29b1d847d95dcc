// The kernels for ARM processors with products of small matrices (Neoverse V1 and N2, Apple M2 and later).
#include "kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD) && defined(__ARM_FEATURE_MATMUL_INT8)
#include "arm_processor.h"
#define ASPD_TABLE i8mm_kernels
#define ASPD_NAME "NEON i8mm"
#define ASPD_RUNS (aspd::kernels::has_dotprod() && aspd::kernels::has_i8mm())
#define ASPD_I8MM
#include "arm_kernels.inc"
#else
const aspd::kernels::Kernels* aspd::kernels::i8mm_kernels() { return nullptr; }
#endif
