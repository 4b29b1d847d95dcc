// A small test harness: TEST registers a test, CHECK records a failure and goes on, REQUIRE ends the test,
// SKIP ends it uncounted.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace aspd_test {

struct Test {
  std::string name;
  std::function<void()> body;
};

// The tests of all files, in order of registration.
std::vector<Test>& registry();
// Records a failure of the running test and prints it with its place.
void fail(const char* file, int line, const std::string& message);

// Ends the running test; thrown by REQUIRE after fail().
struct Stop {};
// Ends the running test as skipped; thrown by SKIP.
struct Skip {
  std::string reason;
};

struct Registration {
  Registration(const char* name, std::function<void()> body) {
    registry().push_back({name, std::move(body)});
  }
};

template <typename T, typename = void>
struct IsPrintable : std::false_type {};
template <typename T>
struct IsPrintable<T, std::void_t<decltype(std::declval<std::ostream&>() << std::declval<const T&>())>>
    : std::true_type {};

template <typename T>
void print(std::ostream& out, const T& value) {
  if constexpr (IsPrintable<T>::value) {
    out << value;
  } else {
    out << "?";
  }
}
template <typename T>
void print(std::ostream& out, const std::vector<T>& values) {
  out << "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    out << (i == 0 ? "" : ", ");
    print(out, values[i]);
  }
  out << "]";
}

template <typename Left, typename Right>
void check_eq(const Left& left, const Right& right, const char* text, const char* file, int line) {
  if (left == right) {
    return;
  }
  std::ostringstream message;
  message << text << "\n    left:  ";
  print(message, left);
  message << "\n    right: ";
  print(message, right);
  fail(file, line, message.str());
}

// The exception of type E that `body` throws, to look at its fields; none: it threw nothing or something
// else.
template <typename E, typename Body>
std::optional<E> thrown(Body&& body) {
  try {
    std::forward<Body>(body)();
  } catch (const E& error) {
    return error;
  } catch (...) {
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace aspd_test

// TEST(name_that_is_a_claim) { ... }
#define TEST(name)                                                   \
  static void name();                                                \
  static const aspd_test::Registration register_##name(#name, name); \
  static void name()

// SKIP(reason): what the test needs is not here.
#define SKIP(reason) \
  throw aspd_test::Skip { reason }

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) aspd_test::fail(__FILE__, __LINE__, "CHECK(" #condition ")"); \
  } while (false)

#define REQUIRE(condition)                                            \
  do {                                                                \
    if (!(condition)) {                                               \
      aspd_test::fail(__FILE__, __LINE__, "REQUIRE(" #condition ")"); \
      throw aspd_test::Stop{};                                        \
    }                                                                 \
  } while (false)

#define CHECK_EQ(left, right) \
  aspd_test::check_eq((left), (right), "CHECK_EQ(" #left ", " #right ")", __FILE__, __LINE__)

// CHECK_THROWS(statement, Type): the statement throws Type or a class derived from it.
#define CHECK_THROWS(statement, ...)                                                                       \
  do {                                                                                                     \
    bool threw = false;                                                                                    \
    try {                                                                                                  \
      static_cast<void>(statement);                                                                        \
    } catch (const __VA_ARGS__&) {                                                                         \
      threw = true;                                                                                        \
    } catch (const std::exception& other) {                                                                \
      aspd_test::fail(__FILE__, __LINE__,                                                                  \
                      std::string("CHECK_THROWS(" #statement ", " #__VA_ARGS__ ") threw another type: ") + \
                          other.what());                                                                   \
      break;                                                                                               \
    }                                                                                                      \
    if (!threw) aspd_test::fail(__FILE__, __LINE__, "CHECK_THROWS(" #statement ", " #__VA_ARGS__ ")");     \
  } while (false)
