#include "tokenizer/gguf_kind.h"

#include <vector>

namespace nearplane {
namespace {

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json sequence(Json first, Json second) {
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({std::move(first), std::move(second)})}};
}

Json split_then_bytes(const char* pattern) {
  return sequence({{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
                  byte_level(false));
}

std::vector<GgufKind> make_kinds() {
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  return {{"smollm", {}, sequence(digits, byte_level(true))},
          {"llama-bpe",
           {},
           split_then_bytes(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
                            R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
           true,
           true},
          {"qwen2",
           {{"type", "NFC"}},
           split_then_bytes(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                            R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)")},
          {"gpt2", {}, byte_level(true)},
          {"default", {}, byte_level(true)}};
}

}  // namespace

std::span<const GgufKind> gguf_kinds() {
  static const auto kinds = make_kinds();
  return kinds;
}

}  // namespace nearplane
