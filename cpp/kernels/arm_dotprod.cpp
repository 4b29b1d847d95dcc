// The kernels for ARM processors with the product instructions of ARMv8.2 (Cortex-A76, Neoverse N1 and
// later).
#include "kernels.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include "arm_processor.h"
#define ASPD_TABLE dotprod_kernels
#define ASPD_NAME "NEON dotprod"
#define ASPD_RUNS aspd::kernels::has_dotprod()
#include "arm_kernels.inc"
#else
const aspd::kernels::Kernels* aspd::kernels::dotprod_kernels() { return nullptr; }
#endif
