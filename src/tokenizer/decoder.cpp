#include "tokenizer/decoder.h"

#include <cctype>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"

namespace nearplane {
namespace {

class Sequence : public Decoder {
 public:
  Sequence(const Json& json, const std::string& where) {
    const auto it = json.find("decoders");
    if (it == json.end() || !it->is_array()) fail_input(where, "key 'decoders' is not a list");
    for (const auto& part : *it) parts_.push_back(make_decoder(part, where));
  }
  void apply(std::vector<std::string>& parts) const override {
    for (const auto& part : parts_) part->apply(parts);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

class SpaceBetween : public Decoder {
 public:
  void apply(std::vector<std::string>& parts) const override {
    for (std::size_t i = 1; i < parts.size(); ++i) parts[i].insert(parts[i].begin(), ' ');
  }
};

class Fuse : public Decoder {
 public:
  void apply(std::vector<std::string>& parts) const override {
    std::string all;
    for (const auto& part : parts) all += part;
    parts.assign(1, std::move(all));
  }
};

class ByteLevel : public Decoder {
 public:
  void apply(std::vector<std::string>& parts) const override {
    std::string all;
    for (const auto& part : parts)
      if (!append_from_byte_level(part, all)) all += part;
    parts.assign(1, std::move(all));
  }
};

// The byte that "<0x41>" stands for, -1 for any other token.
int byte_of(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = -1;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  return error == std::errc() && end == token.data() + 5 && value >= 0 ? value : -1;
}

class ByteFallback : public Decoder {
 public:
  void apply(std::vector<std::string>& parts) const override {
    std::vector<std::string> out;
    bool after_byte = false;
    for (auto& part : parts) {
      const int byte = byte_of(part);
      if (byte < 0) {
        out.push_back(std::move(part));
      } else {
        if (!after_byte) out.emplace_back();
        out.back().push_back(static_cast<char>(byte));
      }
      after_byte = byte >= 0;
    }
    parts = std::move(out);
  }
};

class Strip : public Decoder {
 public:
  Strip(const Json& json, const std::string& where)
      : content_(json_get<std::string>(json, "content", where)),
        start_(json_get<std::uint64_t>(json, "start", where)),
        stop_(json_get<std::uint64_t>(json, "stop", where)) {
    if (content_.empty()) fail_input(where, "decoder Strip: the content is empty");
  }
  void apply(std::vector<std::string>& parts) const override {
    for (auto& part : parts) {
      for (std::uint64_t i = 0; i < start_ && part.starts_with(content_); ++i) part.erase(0, content_.size());
      for (std::uint64_t i = 0; i < stop_ && part.ends_with(content_); ++i) part.resize(part.size() - content_.size());
    }
  }

 private:
  std::string content_;  // one character
  std::uint64_t start_, stop_;
};

class Replace : public Decoder {
 public:
  Replace(const Json& json, const std::string& where)
      : pattern_(json, where), content_(json_get<std::string>(json, "content", where)) {
    // Parts may hold any bytes by now, and regular expressions want valid UTF-8.
    if (json["pattern"].contains("Regex")) fail_unsupported(where, "decoder Replace with a regular expression");
  }
  void apply(std::vector<std::string>& parts) const override {
    for (auto& part : parts) part = pattern_.replace_all(part, content_);
  }

 private:
  Pattern pattern_;
  std::string content_;
};

class Metaspace : public Decoder {
 public:
  Metaspace(const Json& json, const std::string& where)
      : replacement_(json_get<std::string>(json, "replacement", where)) {
    if (replacement_.empty()) fail_input(where, "decoder Metaspace: the replacement is empty");
    prefix_ = json_find<std::string>(json, "prepend_scheme", where).value_or("always") != "never" &&
              json_find<bool>(json, "add_prefix_space", where).value_or(true);
  }
  void apply(std::vector<std::string>& parts) const override {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      std::string out;
      std::size_t done = 0;
      for (auto at = parts[i].find(replacement_); at != std::string::npos; at = parts[i].find(replacement_, done)) {
        out.append(parts[i], done, at - done);
        if (i > 0 || !prefix_) out.push_back(' ');
        done = at + replacement_.size();
      }
      parts[i] = out.append(parts[i], done);
    }
  }

 private:
  std::string replacement_;  // one character
  bool prefix_;
};

}  // namespace

std::unique_ptr<Decoder> make_decoder(const Json& json, const std::string& where) {
  if (json.is_null()) return std::make_unique<SpaceBetween>();
  const auto type = json_get<std::string>(json, "type", where);
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip") return std::make_unique<Strip>(json, where);
  if (type == "Replace") return std::make_unique<Replace>(json, where);
  if (type == "Metaspace") return std::make_unique<Metaspace>(json, where);
  fail_unsupported(where, "decoder '{}' is not supported", type);
}

}  // namespace nearplane
