# aspd_fetch(SCRIPT FILES...): runs a script of third_party that brings foreign code in, now and whenever one of FILES
# has changed. What it prints when it fails is one line.

function(aspd_fetch script)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/third_party/${script}"
    RESULT_VARIABLE fetch_result OUTPUT_VARIABLE fetch_output ERROR_VARIABLE fetch_error
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_STRIP_TRAILING_WHITESPACE)
  if(NOT fetch_result EQUAL 0)
    message(FATAL_ERROR " ${fetch_error}") # the blank keeps CMake from wrapping the line
  endif()
  message(STATUS "${fetch_output}")
  list(TRANSFORM ARGN PREPEND "${PROJECT_SOURCE_DIR}/third_party/")
  set_property(DIRECTORY "${PROJECT_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
endfunction()
