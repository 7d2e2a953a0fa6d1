// For tests of whole commands: a tiny golden model in a folder of its own, with a tokenizer for printable ASCII, and a
// text for it.
#pragma once

#include <filesystem>
#include <string>

#include "base/json.h"
#include "base/rng.h"
#include "temporary_folder.h"
#include "tiny_model.h"

namespace nearplane {

/// tokenizer.json with one token per printable ASCII character and line break, for the 128 ids of the golden models.
inline Json ascii_tokenizer() {
  Json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  const auto add = [&](const std::string& text) { vocab[text] = vocab.size(); };
  add("\u010a"), add("\u0120");  // line break and space in the byte-level alphabet
  for (char c = '!'; c <= '~'; ++c) add(std::string(1, c));
  while (vocab.size() < 128) add("<unused-" + std::to_string(vocab.size()) + ">");
  const auto special = [](int id, const char* text) {
    return Json{{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
                {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  return {{"version", "1.0"},
          {"added_tokens", {special(1, "<s>"), special(2, "</s>")}},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"unk_token", "<unk>"}, {"vocab", vocab}, {"merges", Json::array()}}}};
}

/// Copies the golden model `name` into `folder`/`name` with the tokenizer and returns the path.
inline std::filesystem::path text_model(const TemporaryFolder& folder, const std::string& name) {
  const auto path = folder.path() / name;
  std::filesystem::copy(golden_path(name), path);
  std::filesystem::remove(path / "logits.safetensors");
  folder.write(name + "/tokenizer.json", ascii_tokenizer().dump());
  return path;
}

/// Gives a model of text_model a chat template, Mistral's first: "<s>[INST] user [/INST]reply</s>".
inline void add_chat_template(const std::filesystem::path& model) {
  const Json config = {{"bos_token", "<s>"},
                       {"eos_token", "</s>"},
                       {"chat_template",
                        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
                        "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
                        "{{ message['content'] + eos_token }}{% endif %}{% endfor %}"}};
  std::ofstream(model / "tokenizer_config.json") << config.dump();
}

/// `characters` printable characters with spaces and line breaks in between, the same for every run.
inline std::string random_text(std::size_t characters, std::uint64_t seed) {
  Rng rng(seed);
  std::string text;
  while (text.size() < characters)
    text += rng.below(7) == 0 ? (rng.below(9) == 0 ? '\n' : ' ') : static_cast<char>('a' + rng.below(26));
  return text;
}

}  // namespace nearplane
