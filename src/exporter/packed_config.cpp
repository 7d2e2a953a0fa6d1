#include "exporter/packed_config.h"

#include <algorithm>

#include "base/check.h"
#include "tokenizer/regex.h"

namespace nearplane {

// Which layers a rule is for: all (a class name), one by name, or those whose name a regular expression matches from
// its beginning on (Python's re.match).
class PackedConfig::Pattern {
 public:
  enum class Kind { everything, expression, name };

  Pattern() = default;
  static Pattern named(std::string name) {
    Pattern out;
    out.kind_ = Kind::name, out.name_ = std::move(name);
    return out;
  }
  static Pattern matching(const std::string& expression, const std::string& where) {
    Pattern out;
    out.kind_ = Kind::expression;
    out.regex_ = std::make_unique<Regex>(expression, where);
    return out;
  }
  Kind kind() const { return kind_; }
  bool matches(const std::string& layer) const {
    if (kind_ == Kind::everything) return true;
    if (kind_ == Kind::name) return layer == name_;
    std::vector<Match> found;
    regex_->find_all(layer, found);
    return !found.empty() && found[0].begin == 0;
  }

 private:
  Kind kind_ = Kind::everything;
  std::string name_;
  std::unique_ptr<Regex> regex_;
};

namespace {

const Json& object_at(const Json& object, const char* key, const std::string& where) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_object()) fail_input(where, "key '{}' is missing or not an object", key);
  return *it;
}

int bits_in(const Json& object, const char* key, const std::string& where) {
  const auto bits = json_get<int>(object, key, where);
  if (bits < 2 || bits > 8) fail_input(where, "{} is {}, not 2 to 8", key, bits);
  return bits;
}

std::int64_t group_in(const Json& object, const std::string& where) {
  const auto group = json_get<std::int64_t>(object, "group_size", where);
  if (group < 1) fail_input(where, "group_size is {}", group);
  return group;
}

ExportGrid gptq_grid(const Json& object, const std::string& where) {
  const bool whole = json_get<std::int64_t>(object, "group_size", where) == -1;
  return {bits_in(object, "bits", where), whole ? 0 : group_in(object, where),
          json_find<bool>(object, "sym", where).value_or(false)};
}

ExportGrid weights_grid(const Json& group, const std::string& where) {
  const auto& weights = object_at(group, "weights", where);
  const auto type = json_find<std::string>(weights, "type", where).value_or("int");
  if (type != "int") fail_unsupported(where, "weights of type '{}' are not packed codes (int is)", type);
  const auto strategy = json_get<std::string>(weights, "strategy", where);
  if (strategy != "group" && strategy != "channel")
    fail_unsupported(where, "strategy '{}' is not known (group and channel are)", strategy);
  return {bits_in(weights, "num_bits", where), strategy == "channel" ? 0 : group_in(weights, where),
          json_get<bool>(weights, "symmetric", where)};
}

}  // namespace

bool PackedConfig::known(const Json& config) {
  const auto says = [&](const char* key, const char* value) {
    const auto it = config.find(key);
    return it != config.end() && *it == value;
  };
  return says("quant_method", "gptq") ||
         (says("quant_method", "compressed-tensors") && says("format", "pack-quantized"));
}

PackedConfig::PackedConfig(const Json& config, const std::string& where) : kind_(Kind::gptq), where_(where) {
  const auto method = json_get<std::string>(config, "quant_method", where);
  if (method == "gptq")
    read_gptq(config);
  else if (method == "compressed-tensors")
    read_compressed_tensors(config);
  else
    fail_unsupported(where, "quant_method '{}' is not known (gptq and compressed-tensors are)", method);
}

// The layers of "dynamic" differ: "+:expression" or "expression" changes settings, "-:expression" leaves layers alone.
void PackedConfig::read_gptq(const Json& config) {
  const auto format = json_find<std::string>(config, "checkpoint_format", where_).value_or("gptq");
  if (format != "gptq" && format != "gptq_v2")
    fail_unsupported(where_, "checkpoint_format '{}' is not known (gptq and gptq_v2 are)", format);
  kind_ = format == "gptq" ? Kind::gptq : Kind::gptq_v2;
  const auto all = gptq_grid(config, where_);
  if (const auto it = config.find("dynamic"); it != config.end() && !it->is_null()) {
    if (!it->is_object()) fail_input(where_, "key 'dynamic' is not an object");
    for (const auto& [key, changes] : it->items()) {
      const bool excluded = key.starts_with("-:");
      auto settings = config;
      if (!excluded && changes.is_object()) settings.update(changes);
      rules_.push_back({std::make_shared<Pattern>(Pattern::matching(
                            key.starts_with("+:") || excluded ? key.substr(2) : key, where_ + ": dynamic")),
                        gptq_grid(settings, where_ + ": dynamic '" + key + "'"), excluded});
    }
  }
  rules_.push_back({std::make_shared<Pattern>(), all});
}

void PackedConfig::read_compressed_tensors(const Json& config) {
  kind_ = Kind::compressed_tensors;
  const auto format = json_get<std::string>(config, "format", where_);
  if (format != "pack-quantized") fail_unsupported(where_, "format '{}' is not known (pack-quantized is)", format);
  const auto& groups = object_at(config, "config_groups", where_);
  for (const auto& [name, group] : groups.items()) {
    const auto at = where_ + ": " + name;
    const auto grid = weights_grid(group, at);
    for (const auto& target : json_get<std::vector<std::string>>(group, "targets", at)) {
      auto pattern = target.starts_with("re:") ? Pattern::matching(target.substr(3), at)
                     : target == "Linear"      ? Pattern()
                                               : Pattern::named(target);
      rules_.push_back({std::make_shared<Pattern>(std::move(pattern)), grid});
    }
  }
  std::ranges::stable_sort(rules_, std::greater<>(), [](const Rule& rule) { return rule.pattern->kind(); });
}

ExportGrid PackedConfig::grid(const std::string& layer) const {
  const auto rule = std::ranges::find_if(rules_, [&](const Rule& r) { return r.pattern->matches(layer); });
  if (rule == rules_.end()) fail_input(where_, "no config group is for layer {}", layer);
  if (rule->excluded) fail_input(where_, "layer {} is packed, 'dynamic' says it is not quantized", layer);
  return rule->grid;
}

}  // namespace nearplane
