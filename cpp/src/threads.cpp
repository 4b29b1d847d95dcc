#include "threads.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace aspd {

namespace {

#ifdef __linux__
// Distinct sets of hyper-threads among the processors of this process's affinity mask.
std::int32_t linux_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return 0;
  std::set<std::string> cores;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mask) == 0) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings");
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = "cpu" + std::to_string(cpu);
    cores.insert(siblings);
  }
  return static_cast<std::int32_t>(cores.size());
}
#endif

#ifdef __APPLE__
std::int32_t apple_cores() {
  std::int32_t n = 0;
  std::size_t size = sizeof(n);
  if (sysctlbyname("hw.perflevel0.physicalcpu", &n, &size, nullptr, 0) == 0 && n > 0) return n;
  size = sizeof(n);
  return sysctlbyname("hw.physicalcpu", &n, &size, nullptr, 0) == 0 ? n : 0;
}
#endif

}  // namespace

std::int32_t physical_cores() {
  std::int32_t n = 0;
#if defined(__linux__)
  n = linux_cores();
#elif defined(__APPLE__)
  n = apple_cores();
#endif
  if (n <= 0) n = static_cast<std::int32_t>(std::thread::hardware_concurrency());
  return std::clamp(n, 1, 512);  // GGML_MAX_N_THREADS
}

}  // namespace aspd
