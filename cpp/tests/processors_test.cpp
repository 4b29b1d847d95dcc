// Which processors count, by files as Linux writes them.
#include "../src/processors.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "check.h"

using namespace aspd;
namespace fs = std::filesystem;

namespace {

// A folder as /sys/devices, removed at the end.
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
