// Runs the tests whose name contains one of the arguments; all of them without arguments.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "check.h"

namespace aspd_test {

namespace {
int n_failures_of_test = 0;
}

std::vector<Test>& registry() {
  static std::vector<Test> tests;
  return tests;
}

void fail(const char* file, int line, const std::string& message) {
  ++n_failures_of_test;
  std::printf("  %s:%d: %s\n", file, line, message.c_str());
}

namespace {

bool is_chosen(const std::string& name, const std::vector<std::string>& filters) {
  for (const std::string& filter : filters) {
    if (name.find(filter) != std::string::npos) {
      return true;
    }
  }
  return filters.empty();
}

enum class Outcome { kPassed, kFailed, kSkipped };

Outcome outcome_of(const Test& test) {
  n_failures_of_test = 0;
  try {
    test.body();
  } catch (const Skip& skip) {
    std::printf("SKIPPED %s: %s\n", test.name.c_str(), skip.reason.c_str());
    return n_failures_of_test == 0 ? Outcome::kSkipped : Outcome::kFailed;
  } catch (const Stop&) {
    // REQUIRE has recorded the failure
  } catch (const std::exception& error) {
    fail(test.name.c_str(), 0, std::string("unexpected exception: ") + error.what());
  } catch (...) {
    fail(test.name.c_str(), 0, "unexpected exception that is no std::exception");
  }
  return n_failures_of_test == 0 ? Outcome::kPassed : Outcome::kFailed;
}

int run(const std::vector<std::string>& filters) {
  int n_passed = 0;
  int n_failed = 0;
  int n_skipped = 0;
  for (const Test& test : registry()) {
    if (!is_chosen(test.name, filters)) {
      continue;
    }
    switch (outcome_of(test)) {
      case Outcome::kPassed: ++n_passed; break;
      case Outcome::kSkipped: ++n_skipped; break;
      case Outcome::kFailed: ++n_failed; std::printf("FAILED %s\n", test.name.c_str());
    }
    std::fflush(stdout);
  }
  std::printf("%d passed, %d failed, %d skipped\n", n_passed, n_failed, n_skipped);
  return n_failed == 0 && n_passed + n_skipped > 0 ? 0 : 1;  // a filter that chooses nothing is a mistake
}

}  // namespace
}  // namespace aspd_test

int main(int argc, char** argv) { return aspd_test::run(std::vector<std::string>(argv + 1, argv + argc)); }
