#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/vector_target.cpp"
#define HWY_WANT_AVX3_DL
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "nearplane/machine.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {

std::int64_t Target() { return HWY_TARGET; }

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "kernel/tiles.h"

namespace nearplane {

HWY_EXPORT(Target);

namespace {

const std::string kTiles = "amx";

// Tiles are multiplied by loops that are compiled for these vectors.
bool tiles_fit() {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  return use_tiles() && std::ranges::find(targets, HWY_AVX3_DL) != targets.end();
}

std::string name_of(std::int64_t target) {
  std::string name = hwy::TargetName(target);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

}  // namespace

std::vector<std::string> vector_targets() {
  std::vector<std::string> names;
  if (tiles_fit()) names.push_back(kTiles);
  for (const auto target : hwy::SupportedAndGeneratedTargets()) names.push_back(name_of(target));
  return names;
}

std::string vector_target() {
  const auto target = HWY_DYNAMIC_DISPATCH(Target)();
  return target == HWY_AVX3_DL && use_tiles() ? kTiles : name_of(target);
}

void use_vector_target(std::string_view name) {
  if (name == kTiles && tiles_fit()) return;  // they are the default
  for (const auto target : hwy::SupportedAndGeneratedTargets())
    if (name_of(target) == name) {
      allow_tiles(false);
      hwy::DisableTargets(target - 1);  // better ones have lower bits
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
      return;
    }
  fail_input("NEARPLANE_TARGET", "\"{}\" is not among what this machine and build have: {}", name,
             fmt::join(vector_targets(), ", "));
}

}  // namespace nearplane

#endif
