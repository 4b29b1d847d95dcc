#include "processors.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

#include "aspd/backend.h"

#ifdef __APPLE__
#include <sys/sysctl.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace aspd {

namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of a list such as "0-3,8".
std::set<unsigned> parse_list(const std::string& text) {
  std::set<unsigned> found;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    unsigned first = 0;
    unsigned last = 0;
    char dash = 0;
    std::istringstream range(part);
    if (!(range >> first)) continue;
    if (!(range >> dash >> last)) last = first;
    for (unsigned cpu = first; cpu <= last && last - first < 65536; ++cpu) found.insert(cpu);
  }
  return found;
}

// The folder and those above it, up to the root: "/a/b", "/a", "".
std::vector<std::string> with_parents(std::string folder) {
  std::vector<std::string> found;
  while (!folder.empty() && folder != "/") {
    found.push_back(folder);
    folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
  }
  found.emplace_back();
  return found;
}

// Of one control group; 0: none.
double quota_of(const std::string& group) {
  double quota = 0;
  double period = 0;
  std::istringstream together(first_line(group + "/cpu.max"));  // version 2; "max" is no number
  if (!(together >> quota >> period)) {
    quota = std::atof(first_line(group + "/cpu.cfs_quota_us").c_str());  // -1: none
    period = std::atof(first_line(group + "/cpu.cfs_period_us").c_str());
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

#ifdef __linux__
std::int32_t linux_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return 0;
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &mask) != 0) cpus.push_back(cpu);
  }
  const std::int32_t n = performance_cores("/sys/devices", cpus);
  std::ifstream file("/proc/self/cgroup");
  const std::string own{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const double quota = processor_quota("/sys/fs/cgroup", own);
  if (quota == 0 || quota >= n) return n;
  return std::max(1, static_cast<std::int32_t>(std::lround(quota)));
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

std::int32_t performance_cores(const std::string& devices, const std::vector<unsigned>& cpus) {
  const auto folder = [&](unsigned cpu) { return devices + "/system/cpu/cpu" + std::to_string(cpu); };
  const std::set<unsigned> named = parse_list(first_line(devices + "/cpu_core/cpus"));
  std::vector<unsigned> fast;
  std::copy_if(cpus.begin(), cpus.end(), std::back_inserter(fast),
               [&](unsigned cpu) { return named.count(cpu) > 0; });
  if (fast.empty()) fast = cpus;  // no hybrid, or pinned to its small cores

  // The largest cores of a phone are few; those of half their capacity still help, the small ones hold them
  // up.
  std::vector<int> capacity;
  for (const unsigned cpu : fast)
    capacity.push_back(std::atoi(first_line(folder(cpu) + "/cpu_capacity").c_str()));
  const int most = capacity.empty() ? 0 : *std::max_element(capacity.begin(), capacity.end());

  std::set<std::string> cores;
  for (std::size_t i = 0; i < fast.size(); ++i) {
    if (2 * capacity[i] < most) continue;
    std::string siblings = first_line(folder(fast[i]) + "/topology/thread_siblings");
    if (siblings.empty()) siblings = "cpu" + std::to_string(fast[i]);
    cores.insert(siblings);
  }
  return static_cast<std::int32_t>(cores.size());
}

double processor_quota(const std::string& groups, const std::string& own) {
  double least = 0;
  std::istringstream lines(own);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::vector<std::string> roots;
    if (controllers.empty()) {
      roots = {groups, groups + "/unified"};
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      roots = {groups + "/" + controllers, groups + "/cpu"};
    }
    for (const std::string& root : roots) {
      for (const std::string& folder : with_parents(line.substr(second + 1))) {
        const double quota = quota_of(root + folder);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
      }
    }
  }
  return least;
}

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
