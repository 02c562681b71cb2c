#pragma once  // cli/convert/conversion.h: one object on its way into a DistributedJob; no field of it is lost
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/json/fields.h"

namespace muster::cli {

// Stands above the line of the field `at` of the output, or of its nearest parent that was written.
struct Comment {
  std::string at;                   // a JSON pointer
  std::vector<std::string> fields;  // "spec.elasticPolicy.maxReplicas: 3", of the input
  std::string text;                 // why they have no equal, and what to do instead
};

// Fields are named by JSON pointers, "/spec/runPolicy/suspend": keys of labels hold dots. Every leaf of the
// source ends in the output or in a comment: whatever nobody has taken, finish() puts into one.
class Conversion {
 public:
  explicit Conversion(Json source) : source_(std::move(source)) {}

  // Looks. Null if absent.
  [[nodiscard]] const Json& see(const std::string& from) const;
  // Looks, and counts `from` and all below it as converted.
  Json take(const std::string& from);
  // As take, of a value that must be of a type. Absent: nullopt. The first of a wrong type is the error.
  std::optional<std::int64_t> integer(const std::string& from);
  std::optional<std::string> string(const std::string& from);
  std::optional<bool> boolean(const std::string& from);
  // An error unless `from` is absent or such.
  void must_be_object(const std::string& from);
  void must_be_array(const std::string& from);

  // A part of the output; makes it, and its parents.
  [[nodiscard]] Json& out(const std::string& to) { return output_[Json::json_pointer(to)]; }
  [[nodiscard]] bool has(const std::string& to) const { return output_.contains(Json::json_pointer(to)); }
  void move(const std::string& from, const std::string& to);
  // Each member of the map `from` into the map `to`: their keys may be of any form.
  void move_members(const std::string& from, const std::string& to);
  // An integer from `min` to `max`; another is told in a comment.
  void move_integer(const std::string& from, const std::string& to, IntegerRange range);

  // An object beside the job that the job needs.
  void add_object(Json object) { others_.push_back(std::move(object)); }

  // A comment with every leaf at and below `from` that is not taken yet; nothing if there is none.
  void drop(const std::string& from, const std::string& at, const std::string& why);
  // Likewise, by its name alone: of what a server has written, and of what is long and known.
  void drop_by_name(const std::string& from, const std::string& at, const std::string& why);
  void say(const std::string& at, const std::string& text) { add({at, {}, text}); }
  void say_of(const std::string& from, const Json& value, const std::string& at, const std::string& text);

  void fail(const std::string& from, const std::string& what);  // the first one counts
  // What is left is told at the top. Errors: kInvalidArgument, beginning with the field's path.
  [[nodiscard]] Status finish();
  [[nodiscard]] const Json& output() const { return output_; }
  [[nodiscard]] const std::vector<Json>& others() const { return others_; }
  [[nodiscard]] const std::vector<Comment>& comments() const { return comments_; }

 private:
  template <typename T>
  std::optional<T> typed(const std::string& from, bool (Json::*is_such)() const noexcept, const char* such);
  [[nodiscard]] bool taken(const std::string& pointer) const;
  void add(Comment comment);  // fields of which the same is said share its text
  void leaves(const Json& value, const std::string& at, std::vector<std::string>& fields);

  Json source_;
  Json output_ = Json::object();
  std::set<std::string> taken_;
  std::vector<Json> others_;
  std::vector<Comment> comments_;
  std::optional<Error> error_;
};

// "/spec/containers/0/env" -> "spec.containers[0].env".
[[nodiscard]] std::string dotted(std::string_view pointer);
// "/metadata/labels" and a key that may hold a slash.
[[nodiscard]] std::string below(const std::string& pointer, std::string_view key);
[[nodiscard]] std::string below(const std::string& pointer, std::size_t index);

// In lower case, with a dash for each character that a DNS label may not have, and none at its ends.
[[nodiscard]] std::string as_label(std::string name);

// The YAML of `object` with the comments above their fields.
[[nodiscard]] std::string commented_yaml(const Json& object, const std::vector<Comment>& comments);

}  // namespace muster::cli
