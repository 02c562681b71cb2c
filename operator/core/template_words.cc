// operator/core/template_words.cc: what is said of a pod, said of the template that it was made of
#include "operator/core/template_words.h"

#include <algorithm>
#include <charconv>

#include "common/json/access.h"
#include "common/json/field_path.h"
#include "operator/api/pod_template.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

// All containers have the same ones, before their own.
std::size_t variables_of_ours(const Json& manifest) {
  const bool image_is_ours = !member(manifest, "metadata", "labels", kAuthorityLabel).is_null();
  const Json& containers = member(manifest, "spec", "containers");
  if (!containers.is_array() || containers.empty()) return 0;
  const Json& env = member(containers.front(), "env");
  if (!env.is_array()) return 0;
  const auto own = std::find_if(env.begin(), env.end(), [&](const Json& variable) {
    return !api::is_reserved_env(text_at(variable, "name"), image_is_ours);
  });
  return static_cast<std::size_t>(own - env.begin());
}

}  // namespace

std::string in_template(std::string_view message, const Json& manifest, std::string_view part) {
  constexpr std::string_view kVariable = ".env[";
  const std::size_t ours = variables_of_ours(manifest);
  std::string out;
  for (std::size_t at = 0; at < message.size();) {
    const std::size_t found = std::min(message.find(kVariable, at), message.size());
    const std::size_t digits = std::min(found + kVariable.size(), message.size());
    out += message.substr(at, digits - at);
    at = digits;
    std::size_t index = 0;
    const auto [end, error] = std::from_chars(message.data() + at, message.data() + message.size(), index);
    if (error != std::errc() || index < ours) continue;
    out += std::to_string(index - ours);
    at = static_cast<std::size_t>(end - message.data());
  }
  std::string told = in_part(out, part);
  const bool unplaced = told == out && told.find("cannot be handled as a Pod") != std::string::npos;
  return unplaced ? std::string(part) + ": " + told : told;
}

}  // namespace muster::op
