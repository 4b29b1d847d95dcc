// What llama.cpp's schema converter needs of its own common.h, which would bring all of its command line
// tools.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

inline std::string string_repeat(const std::string& text, std::size_t n) {
  std::string all;
  all.reserve(text.size() * n);
  for (std::size_t i = 0; i < n; ++i) all += text;
  return all;
}

inline std::string string_join(const std::vector<std::string>& values, const std::string& separator) {
  std::string all;
  for (std::size_t i = 0; i < values.size(); ++i) all += (i == 0 ? "" : separator) + values[i];
  return all;
}

inline std::vector<std::string> string_split(const std::string& text, const std::string& delimiter) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t end; (end = text.find(delimiter, start)) != std::string::npos;
       start = end + delimiter.size())
    parts.push_back(text.substr(start, end - start));
  parts.push_back(text.substr(start));
  return parts;
}
