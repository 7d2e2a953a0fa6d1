#include "tokenizer/post_processor.h"

#include "base/check.h"

namespace nearplane {
namespace {

std::vector<Token> special_ids(const Json& json, const std::string& name, const std::string& where) {
  const auto specials = json.find("special_tokens");
  if (specials == json.end() || !specials->is_object() || !specials->contains(name))
    fail_input(where, "special token '{}' is not in 'special_tokens'", name);
  std::vector<Token> ids;
  for (const auto id : json_get<std::vector<std::int64_t>>((*specials)[name], "ids", where)) {
    if (id < 0 || id > INT32_MAX) fail_input(where, "special token '{}' has id {}", name, id);
    ids.push_back(static_cast<Token>(id));
  }
  return ids;
}

SpecialFrame parse_template(const Json& json, const std::string& where) {
  const auto items = json.find("single");
  if (items == json.end() || !items->is_array()) fail_unsupported(where, "a template that is no list is not supported");
  SpecialFrame frame;
  int sequences = 0;
  for (const auto& item : *items) {
    if (item.is_object() && item.contains("Sequence")) {
      ++sequences;
    } else if (item.is_object() && item.contains("SpecialToken")) {
      auto& side = sequences == 0 ? frame.before : frame.behind;
      const auto name = json_get<std::string>(item["SpecialToken"], "id", where);
      for (const Token id : special_ids(json, name, where)) side.push_back(id);
    } else {
      fail_input(where, "template item {} is neither a sequence nor a special token", item.dump());
    }
  }
  if (sequences != 1) fail_unsupported(where, "a template with {} times the text is not supported", sequences);
  return frame;
}

SpecialFrame parse_sequence(const Json& json, const std::string& where) {
  const auto it = json.find("processors");
  if (it == json.end() || !it->is_array()) fail_input(where, "key 'processors' is not a list");
  SpecialFrame frame;  // each one frames what the ones before it made
  for (const auto& part : *it) {
    const auto outer = parse_post_processor(part, where);
    frame.before.insert(frame.before.begin(), outer.before.begin(), outer.before.end());
    frame.behind.insert(frame.behind.end(), outer.behind.begin(), outer.behind.end());
  }
  return frame;
}

}  // namespace

SpecialFrame parse_post_processor(const Json& json, const std::string& where) {
  if (json.is_null()) return {};
  const auto type = json_get<std::string>(json, "type", where);
  if (type == "ByteLevel") return {};  // moves offsets only
  if (type == "TemplateProcessing") return parse_template(json, where);
  if (type == "Sequence") return parse_sequence(json, where);
  fail_unsupported(where, "post-processor '{}' is not supported", type);
}

Json template_json(const std::vector<SpecialToken>& before, const std::vector<SpecialToken>& behind) {
  Json single = Json::array(), pair = Json::array(), specials = Json::object();
  for (const int type : {0, 1}) {
    auto& items = type == 0 ? single : pair;
    const auto add = [&](const SpecialToken& token) {
      items.push_back({{"SpecialToken", {{"id", token.text}, {"type_id", type}}}});
      specials[token.text] = {
          {"id", token.text}, {"ids", Json::array({token.id})}, {"tokens", Json::array({token.text})}};
    };
    for (const auto& token : before) add(token);
    items.push_back({{"Sequence", {{"id", type == 0 ? "A" : "B"}, {"type_id", type}}}});
    for (const auto& token : behind) add(token);
  }
  pair.insert(pair.begin(), single.begin(), single.end());
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", specials}};
}

}  // namespace nearplane
