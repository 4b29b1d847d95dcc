// Which processors are worth a thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace aspd {

// Performance cores among `cpus`, hyper-threads counted once, as Linux tells them in the files under
// `devices`
// (/sys/devices): Intel's hybrids name their P-cores, ARM's give each processor a capacity. All cores where
// the files make no difference.
[[nodiscard]] std::int32_t performance_cores(const std::string& devices, const std::vector<unsigned>& cpus);

// Processors whose time a process may use by its control groups, 0 where they set no limit: the least of its
// group and those above it, version 1 or 2. groups: where they are mounted (/sys/fs/cgroup). own: the text of
// /proc/self/cgroup. A container may see its own group as the root, under whatever name `own` has for it.
[[nodiscard]] double processor_quota(const std::string& groups, const std::string& own);

}  // namespace aspd
