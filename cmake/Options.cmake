# Compile options every target shares. The base architecture stays plain x86-64: faster code is chosen at run time.
add_library(nearplane_options INTERFACE)
target_include_directories(nearplane_options INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_compile_options(nearplane_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
# One rounding per written operation: results must not depend on what the compiler contracts where.
target_compile_options(nearplane_options INTERFACE -ffp-contract=off)
if(NEARPLANE_WERROR)
  target_compile_options(nearplane_options INTERFACE -Werror)
endif()
if(NEARPLANE_SANITIZE)
  target_compile_options(nearplane_options INTERFACE -fsanitize=${NEARPLANE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(nearplane_options INTERFACE -fsanitize=${NEARPLANE_SANITIZE})
endif()
