// operator/core/template_words.cc: what is said of a pod, said of the template that it was made of
#include "operator/core/template_words.h"

#include <charconv>
#include <optional>

#include "common/json/access.h"
#include "common/json/field_path.h"
#include "operator/api/pod_template.h"
#include "pod/pod_contract.h"

namespace muster::op {
namespace {

const Json& at_index(const Json& list, std::size_t index) {
  static const Json kNothing;
  return list.is_array() && index < list.size() ? list[index] : kNothing;
}

// Those of every container come first, then those by which the container of the role tells its progress.
std::size_t variables_of_ours(const Json& manifest, std::string_view list, std::size_t container) {
  const bool image_is_ours = !member(manifest, "metadata", "labels", kAuthorityLabel).is_null();
  const Json& env = member(at_index(member(manifest, "spec", list), container), "env");
  const auto name = [&env](std::size_t i) { return text_at(at_index(env, i), "name"); };
  std::size_t count = 0;
  while (count < env.size() && api::is_reserved_env(name(count), image_is_ours)) ++count;
  const bool tells = !member(manifest, "metadata", "annotations", kProgressAnnotation).is_null();
  if (tells && name(count) == kProgressUrlVariable && name(count + 1) == kProgressCaVariable &&
      name(count + 2) == kProgressTokenVariable)
    count += 3;
  return count;
}

// The number that begins at `at`, which moves behind it.
std::optional<std::size_t> number_at(std::string_view message, std::size_t& at) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(message.data() + at, message.data() + message.size(), number);
  if (error != std::errc()) return std::nullopt;
  at = static_cast<std::size_t>(end - message.data());
  return number;
}

// The message with the variables of one list of containers under the numbers that they have in the template.
std::string renumbered(std::string_view message, const Json& manifest, std::string_view list) {
  constexpr std::string_view kVariable = "].env[";
  const std::string begins = "spec." + std::string(list) + "[";
  std::string out;
  std::size_t at = 0;
  for (std::size_t found; (found = message.find(begins, at)) != std::string_view::npos;) {
    std::size_t next = found + begins.size();
    const auto container = number_at(message, next);
    const bool variable = container && message.substr(next).starts_with(kVariable);
    if (variable) next += kVariable.size();
    out += message.substr(at, next - at);
    at = next;
    if (!variable) continue;
    const auto index = number_at(message, next);
    const std::size_t ours = variables_of_ours(manifest, list, *container);
    if (!index || *index < ours) continue;
    out += std::to_string(*index - ours);
    at = next;
  }
  return out + std::string(message.substr(at));
}

}  // namespace

std::string in_template(std::string_view message, const Json& manifest, std::string_view part) {
  std::string out(message);
  for (const char* list : {"containers", "initContainers"}) out = renumbered(out, manifest, list);
  std::string told = in_part(out, part);
  const bool unplaced = told == out && told.find("cannot be handled as a Pod") != std::string::npos;
  return unplaced ? std::string(part) + ": " + told : told;
}

}  // namespace muster::op
