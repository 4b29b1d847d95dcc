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

}  // namespace aspd
