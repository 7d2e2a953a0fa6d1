#include "base/json.h"

#include <cmath>
#include <cstdint>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/atomic_file.h"
#include "base/check.h"

namespace nearplane {
namespace {

constexpr int kMaxDepth = 256;  // real files nest below 20; a hostile one must not exhaust the stack

// Builds the value in one pass. nlohmann's own builder searches an ordered object for every key it adds, which is
// quadratic: a vocabulary of 150,000 entries would take a minute. Here a hash set finds duplicates instead.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const std::string& where) : where_(where) {}
  Json take() { return std::move(root_); }

  bool null() override { return place(nullptr); }
  bool boolean(bool value) override { return place(value); }
  bool number_integer(number_integer_t value) override { return place(value); }
  bool number_unsigned(number_unsigned_t value) override { return place(value); }
  bool number_float(number_float_t value, const string_t&) override { return place(value); }
  bool string(string_t& value) override { return place(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // text has none
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool key(string_t& name) override {
    auto& level = levels_.back();
    if (!level.keys.insert(name).second) fail_input(where_, "duplicate JSON key '{}'", name);
    level.key = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string_view text = error.what();
    const auto colon = text.find("] ");
    fail_input(where_, "not valid JSON at byte {}: {}", position,
               colon == std::string_view::npos ? text : text.substr(colon + 2));
  }

 private:
  struct Level {
    Json* container;
    std::string key;  // of the member to come
    std::unordered_set<std::string> keys;
  };

  bool place(Json value) {
    last_ = &root_;
    if (levels_.empty()) {
      root_ = std::move(value);
    } else if (auto& level = levels_.back(); level.container->is_array()) {
      last_ = &level.container->get_ref<Json::array_t&>().emplace_back(std::move(value));
    } else {
      auto& members = level.container->get_ref<Json::object_t&>();
      last_ = &members.emplace_back(std::move(level.key), std::move(value)).second;
    }
    return true;
  }
  bool open(Json container) {
    if (levels_.size() >= kMaxDepth) fail_input(where_, "JSON nested deeper than {} levels", kMaxDepth);
    place(std::move(container));
    levels_.push_back({last_, {}, {}});  // stays valid: a container grows only after its last member is closed
    return true;
  }
  bool close() {
    levels_.pop_back();
    return true;
  }

  const std::string& where_;
  Json root_;
  Json* last_ = nullptr;
  std::vector<Level> levels_;
};

template <class T>
constexpr const char* type_name() {
  if constexpr (std::is_same_v<T, bool>) return "a boolean";
  if constexpr (std::is_integral_v<T>) return "an integer in range";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  if constexpr (std::is_same_v<T, std::string>) return "a string";
  return "a list of the expected type";
}

template <class T>
bool convert(const Json& value, T& out) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) return false;
    out = value.get<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    if (value.is_number_unsigned()) {
      const auto v = value.get<std::uint64_t>();
      if (!std::in_range<T>(v)) return false;
      out = static_cast<T>(v);
    } else if (value.is_number_integer()) {
      const auto v = value.get<std::int64_t>();
      if (!std::in_range<T>(v)) return false;
      out = static_cast<T>(v);
    } else {
      return false;
    }
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) return false;
    out = value.get<T>();
    return std::isfinite(out) || !std::isfinite(value.get<double>());  // a double beyond a float's range
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) return false;
    out = value.get<std::string>();
  } else {
    if (!value.is_array()) return false;
    out.clear();
    for (const auto& item : value) {
      typename T::value_type element{};
      if (!convert(item, element)) return false;
      out.push_back(std::move(element));
    }
  }
  return true;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  // The parser takes a zero byte for the end of the text and would not see what follows.
  if (const auto zero = text.find('\0'); zero != std::string_view::npos)
    fail_input(where, "not valid JSON at byte {}: a zero byte", zero + 1);
  Builder builder(where);
  Json::sax_parse(text, &builder);
  return builder.take();
}

Json read_json(const std::filesystem::path& path) { return parse_json(read_file(path), path.string()); }

template <class T>
std::optional<T> json_find(const Json& object, std::string_view key, const std::string& where) {
  if (!object.is_object()) fail_input(where, "expected a JSON object with key '{}'", key);
  const auto it = object.find(std::string(key));
  if (it == object.end() || it->is_null()) return std::nullopt;
  T out{};
  if (!convert(*it, out)) fail_input(where, "key '{}' is not {}", key, type_name<T>());
  return out;
}

template <class T>
T json_get(const Json& object, std::string_view key, const std::string& where) {
  auto value = json_find<T>(object, key, where);
  if (!value) fail_input(where, "key '{}' is missing", key);
  return *std::move(value);
}

#define NEARPLANE_JSON_TYPE(...)                                                                    \
  template std::optional<__VA_ARGS__> json_find(const Json&, std::string_view, const std::string&); \
  template __VA_ARGS__ json_get(const Json&, std::string_view, const std::string&);
NEARPLANE_JSON_TYPE(bool)
NEARPLANE_JSON_TYPE(int)
NEARPLANE_JSON_TYPE(std::int64_t)
NEARPLANE_JSON_TYPE(std::uint64_t)
NEARPLANE_JSON_TYPE(double)
NEARPLANE_JSON_TYPE(float)
NEARPLANE_JSON_TYPE(std::string)
NEARPLANE_JSON_TYPE(std::vector<std::string>)
NEARPLANE_JSON_TYPE(std::vector<std::int64_t>)
NEARPLANE_JSON_TYPE(std::vector<double>)
#undef NEARPLANE_JSON_TYPE

}  // namespace nearplane
