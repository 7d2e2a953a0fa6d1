# Every foreign library, found once. Each is used in one folder (see src/README.md).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
# oneDNN by hand: Debian's package configuration asks for OpenCL headers that its CPU build does not need.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(nearplane_dnnl INTERFACE)
target_include_directories(nearplane_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE_DIR})
target_link_libraries(nearplane_dnnl INTERFACE ${DNNL_LIBRARY})
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(GTest REQUIRED)
find_package(OpenMP REQUIRED)  # oneDNN runs on it; we only tell it to use one thread per caller
pkg_check_modules(OPENBLAS REQUIRED IMPORTED_TARGET openblas)
pkg_check_modules(LAPACKE REQUIRED IMPORTED_TARGET lapacke)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(SENTENCEPIECE REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(HWY REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(FPLLL REQUIRED IMPORTED_TARGET fplll)
if(NEARPLANE_SANITIZE)
  # Sanitizers look at the baseline and at AVX2; the release build runs every target, and its tests force each.
  target_compile_definitions(PkgConfig::HWY INTERFACE
    "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4|HWY_AVX3|HWY_AVX3_DL)")
endif()
