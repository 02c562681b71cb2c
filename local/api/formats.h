#pragma once  // local/api/formats.h: names, times, quantities and other texts with a form of their own
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"

namespace muster::local {

// A format of JSON schema ("date-time", "byte", "uuid", ...); unknown formats match everything.
[[nodiscard]] bool matches_format(std::string_view format, const std::string& text);

// What is wrong with a name, in the real server's words; empty if nothing.
[[nodiscard]] std::vector<std::string> check_dns_subdomain(const std::string& name);  // objects
[[nodiscard]] std::vector<std::string> check_dns_label(const std::string& name);  // namespaces, containers
[[nodiscard]] std::vector<std::string> check_dns1035_label(const std::string& name);  // services
[[nodiscard]] std::vector<std::string> check_label_value(const std::string& value);
[[nodiscard]] std::vector<std::string> check_qualified_name(
    const std::string& name);  // keys of labels, annotations
[[nodiscard]] std::vector<std::string> check_path_segment(const std::string& name);  // roles
[[nodiscard]] std::vector<std::string> check_config_key(const std::string& key);
[[nodiscard]] bool is_quantity(const std::string& text);
// "1500m" -> "1500m", "0.5" -> "500m", "1024Mi" -> "1Gi": as the real server writes it back.
[[nodiscard]] std::string canonical_quantity(const std::string& text);
[[nodiscard]] std::optional<double> quantity_value(const std::string& text);

// Ages as kubectl shows them: "5m2s", "3h", "2d4h".
[[nodiscard]] std::string human_duration(std::chrono::seconds span);
[[nodiscard]] std::string age(std::string_view timestamp, WallTime now);  // "<unknown>" if it is not one

[[nodiscard]] std::string new_uid();
[[nodiscard]] std::string random_suffix();  // five characters, as of generateName

}  // namespace muster::local
