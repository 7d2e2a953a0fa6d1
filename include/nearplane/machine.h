// Which vector instructions the loops of this library use: the best the machine has, or those of one name. oneDNN has
// its own choice for products in f32 and bf16 (ONEDNN_MAX_CPU_ISA).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace nearplane {

/// Those this machine and this build have, best first: of "amx" (tiles and avx3_dl), "avx3_dl" (AVX-512 with
/// VNNI and VBMI), "avx3" (AVX-512), "avx2", "sse4", "ssse3", "scalar".
std::vector<std::string> vector_targets();
/// The one in use, as a loop that was dispatched says it.
std::string vector_target();
/// From now on `name`, and nothing beyond it. Error{bad_input} naming what there is. Not while other threads compute.
void use_vector_target(std::string_view name);

}  // namespace nearplane
