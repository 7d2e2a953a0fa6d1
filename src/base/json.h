// JSON for the whole library: parsing of untrusted text with precise errors, and typed access that names the key.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace nearplane {

using Json = nlohmann::ordered_json;

/// Parses `text`; throws Error{bad_input} naming `where` and the byte position. Nesting is limited to 256 levels,
/// duplicate keys are refused.
Json parse_json(std::string_view text, const std::string& where);
Json read_json(const std::filesystem::path& path);

/// object[key] converted to T (bool, integers, double, std::string, std::vector<...>). Missing, null or of another
/// type: Error{bad_input} "where: key 'k' is missing / is not a T". An integer out of T's range is an error.
template <class T>
T json_get(const Json& object, std::string_view key, const std::string& where);
/// The same, nullopt when missing or null.
template <class T>
std::optional<T> json_find(const Json& object, std::string_view key, const std::string& where);

}  // namespace nearplane
