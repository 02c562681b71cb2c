# How every target of the project is made: one library a folder, one test program a module.
include(GNUInstallDirs)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# Libraries of our own (TrimmedTorch.cmake, a tarball's) lie beside the programs, built and installed alike. RPATH, not
# RUNPATH: it also serves the libraries that these name.
set(CMAKE_INSTALL_RPATH "$ORIGIN/../lib/muster")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)
set(CMAKE_BUILD_WITH_INSTALL_RPATH ON)
add_link_options(LINKER:--disable-new-dtags LINKER:--as-needed)
find_package(Threads REQUIRED)

add_library(muster_options INTERFACE)
target_include_directories(muster_options INTERFACE "${CMAKE_SOURCE_DIR}")
# -pthread: gRPC's targets bring it, and whoever reads a precompiled header has the same flags.
target_compile_options(muster_options INTERFACE -pthread -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                       $<$<BOOL:${MUSTER_WERROR}>:-Werror>)
target_compile_definitions(muster_options INTERFACE MUSTER_VERSION="${PROJECT_VERSION}" SPDLOG_FMT_EXTERNAL)
target_link_libraries(muster_options INTERFACE Threads::Threads)

# Headers that are read once for many sources: half of a compiler's time goes into them. Whoever uses them has the same flags and the same fmt;
# a target that has not says WITHOUT_PRECOMPILED.
function(muster_precompiled name header)
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/${name}.cc" CONTENT "")
  add_library(${name} STATIC "${CMAKE_BINARY_DIR}/${name}.cc")
  target_link_libraries(${name} PRIVATE muster_options fmt::fmt ${ARGN})
  target_precompile_headers(${name} PRIVATE "${CMAKE_SOURCE_DIR}/cmake/precompiled/${header}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")  # without it ccache remembers nothing that reads them
    target_compile_options(${name} PRIVATE -fpch-preprocess)
  endif()
endfunction()
if(MUSTER_PRECOMPILED)
  find_package(fmt REQUIRED)
  muster_precompiled(muster_precompiled common.h)
  if(MUSTER_TESTS)
    find_package(GTest REQUIRED)
    muster_precompiled(muster_precompiled_tests tests.h GTest::gmock)
    target_compile_options(muster_precompiled_tests PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
endif()
macro(muster_reuse_precompiled name from)
  if(MUSTER_PRECOMPILED AND NOT ARG_WITHOUT_PRECOMPILED)
    target_precompile_headers(${name} REUSE_FROM ${from})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${name} PRIVATE -fpch-preprocess)
    endif()
  endif()
endmacro()

# muster_library(NAME SOURCES a.cc b.cc [PUBLIC libs] [PRIVATE libs] [WITHOUT_PRECOMPILED]): a static library of this folder.
function(muster_library name)
  cmake_parse_arguments(ARG "WITHOUT_PRECOMPILED" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC muster_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  muster_reuse_precompiled(${name} muster_precompiled)
endfunction()

# muster_program(NAME SOURCES main.cc LIBS libs [WITHOUT_PRECOMPILED]): a program in bin/.
function(muster_program name)
  cmake_parse_arguments(ARG "WITHOUT_PRECOMPILED" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE muster_options ${ARG_LIBS})
  muster_reuse_precompiled(${name} muster_precompiled)
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# muster_test(NAME SOURCES a_test.cc LIBS libs [TIMEOUT seconds] [WITHOUT_PRECOMPILED]): one test program, one ctest entry.
function(muster_test name)
  cmake_parse_arguments(ARG "WITHOUT_PRECOMPILED" "TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${MUSTER_TIMEOUT_FACTOR}")
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE muster_options ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  # What is tested is as the programs have it; of the tests themselves, which run once, a fifth of the compiler's time is saved.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  muster_reuse_precompiled(${name} muster_precompiled_tests)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
endfunction()
