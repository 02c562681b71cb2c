// local/runtime/mounts.cc: mount paths of containers and their rewriting
#include "local/runtime/mounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "common/base/utf8.h"
#include "common/spec/paths.h"
#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

// May `c` be part of the path that ends, or of the word that begins, here? Bytes of UTF-8 may.
bool in_name(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || byte >= 0x80 || c == '_' || c == '-' || c == '.';
}

constexpr std::string_view kNoPathBehind = ")]}*?~\\";  // "$(pwd)/x", "*/x", "~/x" are other paths

// Is the quote at the end of `before` the first of its pair? The second one of "$HOME"/data is not: it
// follows what it quotes. Python's letters may stand in front of the first: r"/data".
bool opens_quote(std::string_view before) {
  before.remove_suffix(1);
  if (before.empty()) return true;
  const bool letter = std::string_view("rRbBfFuU").find(before.back()) != std::string_view::npos;
  if (letter && (before.size() == 1 || !in_name(before[before.size() - 2]))) return true;
  return before.back() == '\\' ||
         (!in_name(before.back()) && kNoPathBehind.find(before.back()) == std::string_view::npos);
}

// Does `text` end with the name of a scheme whose URLs mean paths of the machine ("file", "git+file")?
bool ends_with_local_scheme(std::string_view text) {
  std::string word;
  while (!text.empty() && std::isalpha(static_cast<unsigned char>(text.back())) != 0) {
    word.insert(word.begin(), static_cast<char>(std::tolower(static_cast<unsigned char>(text.back()))));
    text.remove_suffix(1);
  }
  return word == "file" || word == "unix" || word == "ipc" || word == "local";
}

// "-o" of "-o/data": a short option, whose value begins behind it.
bool ends_with_short_option(std::string_view text) {
  const std::size_t n = text.size();
  return n >= 2 && std::isalpha(static_cast<unsigned char>(text[n - 1])) != 0 && text[n - 2] == '-' &&
         (n == 2 || !(in_name(text[n - 3]) || text[n - 3] == '/'));
}

// Does an absolute path begin behind `before`?
bool begins_path(std::string_view before) {
  const std::size_t slashes = before.size() - (before.find_last_not_of('/') + 1);
  const std::string_view front = before.substr(0, before.size() - slashes);
  if (slashes > 0 && front.ends_with(':')) {
    // A host follows "://"; if it is empty, the path follows at once. That of "sqlite:////data/x" begins with
    // the fourth slash.
    return slashes > 2 || (slashes == 2 && ends_with_local_scheme(front.substr(0, front.size() - 1)));
  }
  if (slashes > 0) return begins_path(front);  // "//data" is "/data"
  if (front.empty()) return true;
  constexpr std::string_view kThisHost = "://localhost";
  if (front.ends_with(kThisHost))
    return ends_with_local_scheme(front.substr(0, front.size() - kThisHost.size()));
  const char last = front.back();
  if (last == '"' || last == '\'' || last == '`') return opens_quote(front);
  if (in_name(last)) return ends_with_short_option(front);
  return kNoPathBehind.find(last) == std::string_view::npos;
}

bool ends_mount(std::string_view source, std::size_t at) {
  return at == source.size() || source[at] == '/' || !in_name(source[at]);
}

}  // namespace

bool stays_inside(const std::filesystem::path& path) {
  return !path.is_absolute() && std::ranges::none_of(path, [](const auto& part) { return part == ".."; });
}

Result<std::vector<Mount>> container_mounts(const Json& container,
                                            const std::map<std::string, std::filesystem::path>& volumes,
                                            const Variables& variables) {
  std::vector<Mount> out;
  for (const Json& mount : member(container, "volumeMounts")) {
    const std::string name = text(member(mount, "name"));
    const auto volume = volumes.find(name);
    if (volume == volumes.end()) {
      return invalid_argument(
          fmt::format("volumeMounts of container \"{}\": volume \"{}\" is not among spec.volumes",
                      text(member(container, "name")), name));
    }
    const std::string at = spec::mount_path(text(member(mount, "mountPath")));
    const std::string sub = member(mount, "subPathExpr").is_string()
                                ? expand_references(text(member(mount, "subPathExpr")), variables)
                                : text(member(mount, "subPath"));
    if (!stays_inside(sub)) {
      return invalid_argument(
          fmt::format("subPath \"{}\" of volume \"{}\" must be relative and without \"..\"", sub, name));
    }
    out.push_back({.at = at, .folder = volume->second, .sub = sub});
  }
  std::ranges::stable_sort(out, [](const Mount& a, const Mount& b) { return a.at.size() > b.at.size(); });
  return out;
}

std::string rewrite_paths(std::string_view source, const std::vector<Mount>& mounts) {
  std::string out;
  for (std::size_t i = 0; i < source.size();) {
    const Mount* hit = nullptr;
    if (source[i] == '/') {
      const auto found = std::ranges::find_if(mounts, [&](const Mount& mount) {
        return mount.at != "/" && source.substr(i).starts_with(mount.at) &&
               ends_mount(source, i + mount.at.size());
      });
      if (found != mounts.end() && begins_path(source.substr(0, i))) hit = &*found;
    }
    if (hit != nullptr) {
      out += hit->folder.string();
      i += hit->at.size();
    } else {
      out += source[i++];
    }
  }
  return out;
}

VolumeMap volume_map(const std::vector<Mount>& mounts) {
  VolumeMap out;
  for (const Mount& mount : mounts) out.emplace(mount.at, mount.folder.string());
  return out;
}

bool stands_anywhere(const std::filesystem::path& path) {
  const std::string text = path.string();
  return is_utf8(text) &&
         std::ranges::all_of(text, [](char c) { return in_name(c) || c == '/' || c == '+' || c == '@'; });
}

}  // namespace muster::local
