// Which processors count, by files as Linux writes them.
#include "processors.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "check.h"

using namespace aspd;
namespace fs = std::filesystem;

namespace {

// A folder as /sys/devices has it, removed at the end.
struct Devices {
  Devices() {
    std::string name = (fs::temp_directory_path() / "aspd-devices-XXXXXX").string();
    root = mkdtemp(name.data());
  }
  ~Devices() { fs::remove_all(root); }
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;

  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text << "\n";
  }
  void cpu(unsigned number, const std::string& file, const std::string& text) const {
    write("system/cpu/cpu" + std::to_string(number) + "/" + file, text);
  }
  // The same folder as /sys/fs/cgroup.
  [[nodiscard]] double quota(const std::string& own) const { return processor_quota(root.string(), own); }
  [[nodiscard]] std::int32_t cores(const std::vector<unsigned>& cpus) const {
    return performance_cores(root.string(), cpus);
  }
  fs::path root;
};

}  // namespace

TEST(hyper_threads_count_once) {
  const Devices devices;
  for (unsigned cpu = 0; cpu < 4; ++cpu)
    devices.cpu(cpu, "topology/thread_siblings", cpu % 2 == 0 ? "5" : "a");
  CHECK_EQ(devices.cores({0, 1, 2, 3}), 2);
  CHECK_EQ(devices.cores({0, 1, 2}), 2);
  CHECK_EQ(devices.cores({0, 2}), 1);
}

TEST(of_a_hybrid_only_p_cores_count) {
  const Devices devices;
  devices.write("cpu_core/cpus", "0-1,4");
  devices.write("cpu_atom/cpus", "2-3");
  CHECK_EQ(devices.cores({0, 1, 2, 3, 4}), 3);
  CHECK_EQ(devices.cores({2, 3}), 2);  // pinned to E-cores: better those than none
}

TEST(cores_of_less_than_half_the_capacity_do_not_count) {
  const Devices devices;
  const std::vector<std::string> capacity = {"1024", "768", "768", "300", "300"};
  for (unsigned cpu = 0; cpu < capacity.size(); ++cpu) devices.cpu(cpu, "cpu_capacity", capacity[cpu]);
  CHECK_EQ(devices.cores({0, 1, 2, 3, 4}), 3);
  CHECK_EQ(devices.cores({3, 4}), 2);
}

TEST(processors_without_files_count_each) {
  const Devices devices;
  CHECK_EQ(devices.cores({0, 1, 7}), 3);
}

TEST(a_quota_of_a_control_group_limits_the_processors) {
  const Devices devices;
  devices.write("cpu.max", "max 100000");
  devices.write("user/cpu.max", "400000 100000");
  devices.write("user/me/cpu.max", "max 100000");
  devices.write("user/small/cpu.max", "50000 100000");
  CHECK_EQ(devices.quota("0::/\n"), 0.0);
  CHECK_EQ(devices.quota("0::/user/me\n"), 4.0);  // a limit holds for all groups below
  CHECK_EQ(devices.quota("0::/user/small\n"), 0.5);
  CHECK_EQ(devices.quota("0::/nowhere\n"), 0.0);
  CHECK_EQ(devices.quota(""), 0.0);
  CHECK_EQ(devices.quota("no groups"), 0.0);
  CHECK_EQ(devices.quota("0::"), 0.0);
}

TEST(a_container_finds_its_quota_at_the_root) {
  const Devices devices;
  devices.write("cpu.max", "200000 100000");
  CHECK_EQ(devices.quota("0::/docker/4b1c\n"), 2.0);
}

TEST(quotas_of_control_groups_of_version_1) {
  const Devices devices;
  const auto write = [&](const std::string& group, const std::string& quota) {
    devices.write(group + "/cpu.cfs_quota_us", quota);
    devices.write(group + "/cpu.cfs_period_us", "100000");
  };
  write("cpu,cpuacct", "-1");
  write("cpu,cpuacct/batch", "300000");
  write("cpuset", "100000");  // of another controller
  CHECK_EQ(devices.quota("4:cpuset:/\n2:cpu,cpuacct:/batch/job\n0::/\n"), 3.0);
  CHECK_EQ(devices.quota("4:cpuset:/\n2:cpu,cpuacct:/\n"), 0.0);
  write("cpu", "150000");  // another name of the same folder
  CHECK_EQ(devices.quota("2:cpuacct,cpu:/\n"), 1.5);
}
