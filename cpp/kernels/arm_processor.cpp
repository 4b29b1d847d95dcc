#include "arm_processor.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

#include <cstddef>
#endif

namespace aspd::kernels {

#if defined(__aarch64__) && defined(__linux__)

namespace {

// As the kernel's asm/hwcap.h has them; older ones do not know the second.
constexpr unsigned long kDotprod = 1UL << 20U;  // of AT_HWCAP: ASIMDDP
constexpr unsigned long kI8mm = 1UL << 13U;     // of AT_HWCAP2: I8MM

}  // namespace

bool has_dotprod() { return (getauxval(AT_HWCAP) & kDotprod) != 0; }
bool has_i8mm() { return (getauxval(AT_HWCAP2) & kI8mm) != 0; }

#elif defined(__aarch64__) && defined(__APPLE__)

namespace {

bool says_yes(const char* name) {
  int value = 0;
  std::size_t size = sizeof(value);
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace

bool has_dotprod() { return says_yes("hw.optional.arm.FEAT_DotProd"); }
bool has_i8mm() { return says_yes("hw.optional.arm.FEAT_I8MM"); }

#else

bool has_dotprod() { return false; }
bool has_i8mm() { return false; }

#endif

}  // namespace aspd::kernels
