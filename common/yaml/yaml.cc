// common/yaml/yaml.cc: YAML -> JSON, as Kubernetes reads it
#include "common/yaml/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/emitterstyle.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

#include "common/base/utf8.h"
#include "common/json/read_json.h"
#include "common/yaml/plain_scalar.h"

namespace muster {
namespace {

// An alias bomb stops here: so many values for each byte of the text, and some for small ones.
constexpr std::size_t kValuesPerByte = 10, kValuesFree = 1000;
constexpr int kDepthMax = 200;

using yaml::number;
using yaml::one_of;
using yaml::plain_scalar;

class Converter {
 public:
  Converter(const std::string& file, std::size_t values_max, YamlDocument& document)
      : file_(file), values_max_(values_max), document_(document) {}

  Result<Json> convert(const YAML::Node& node, const std::string& path, int depth) {
    if (++values_ > values_max_)
      return error(node, fmt::format("its aliases expand to more than {} values", values_max_));
    if (depth > kDepthMax) return error(node, "nested too deeply");
    if (!path.empty()) document_.lines.try_emplace(path, node.Mark().line + 1);
    switch (node.Type()) {
      case YAML::NodeType::Scalar: return scalar(node);
      case YAML::NodeType::Sequence: return sequence(node, path, depth);
      case YAML::NodeType::Map: return map(node, path, depth);
      default: return Json(nullptr);
    }
  }

  [[nodiscard]] Error error(const YAML::Node& node, const std::string& what) const {
    const YAML::Mark mark = node.Mark();
    return invalid_argument(fmt::format("{}:{}:{}: {}", file_, mark.line + 1, mark.column + 1, what));
  }

 private:
  Result<Json> scalar(const YAML::Node& node) const {
    const std::string& tag = node.Tag();
    const std::string& text = node.Scalar();
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return Json(text);
    if (tag.empty() || tag == "?") return plain_scalar(text);
    if (one_of(tag, {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:bool",
                     "tag:yaml.org,2002:null"})) {
      return plain_scalar(text);
    }
    return error(node, fmt::format("tag '{}' has no meaning in a manifest; remove it", tag));
  }

  Result<Json> sequence(const YAML::Node& node, const std::string& path, int depth) {
    Json out = Json::array();
    for (std::size_t i = 0; i < node.size(); ++i) {
      MUSTER_ASSIGN(Json value, convert(node[i], fmt::format("{}[{}]", path, i), depth + 1));
      out.push_back(std::move(value));
    }
    return out;
  }

  Result<Json> map(const YAML::Node& node, const std::string& path, int depth) {
    Json out = Json::object();
    Json merged = Json::object();
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return error(entry.first, "a key must be plain text");
      const std::string& key = entry.first.Scalar();
      const std::string at = path.empty() ? key : fmt::format("{}.{}", path, key);
      document_.lines.try_emplace(at, entry.first.Mark().line + 1);
      MUSTER_ASSIGN(Json value, convert(entry.second, at, depth + 1));
      if (key == "<<" && entry.first.Tag() != "!") {
        MUSTER_TRY(merge(entry.second, std::move(value), merged));
        continue;
      }
      if (!out.emplace(key, std::move(value)).second) {
        return error(entry.first, fmt::format("key '{}' appears twice; remove one of them", at));
      }
    }
    for (auto& [key, value] : merged.items()) out.emplace(key, value);
    return out;
  }

  Status merge(const YAML::Node& node, Json value, Json& into) const {
    if (value.is_object()) value = Json::array({std::move(value)});
    for (const Json& part : value) {
      if (!part.is_object()) return error(node, "'<<' needs a map or a list of maps");
      for (const auto& [key, member] : part.items()) into.emplace(key, member);
    }
    return {};
  }

  const std::string& file_;
  const std::size_t values_max_;
  YamlDocument& document_;
  std::size_t values_ = 0;
};

// yaml-cpp leaves a bracket that closes nothing where it is, and then finds empty documents there without end
// (YAML::LoadAll("]")). So the text is gone through once before a tree is made of it.
class Progress : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (mark.pos == last_) throw YAML::ParserException(mark, "nothing can begin here");
    last_ = mark.pos;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

 private:
  int last_ = -1;
};

// The line at which the text broke, or the one before it, is set in by a tab: yaml-cpp only says what it
// found instead of the end of a map. 0: neither. Lines count from 0.
int tabbed_line(std::string_view text, int broken) {
  int line = 0;
  for (std::size_t at = 0; at < text.size() && line <= broken; ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view whole = text.substr(at, end - at);
    const std::string_view white = whole.substr(0, std::min(whole.find_first_not_of(" \t"), whole.size()));
    if (line + 1 >= broken && white.find('\t') != std::string_view::npos) return line + 1;
    at = end + 1;
  }
  return 0;
}

void check_progress(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  Progress progress;
  while (parser.HandleNextDocument(progress)) {
  }
}

std::optional<std::uint16_t> escaped_unit(std::string_view text) {
  return text.starts_with("\\u") && text.size() >= 6 ? number<std::uint16_t>(text.substr(2, 4), 16)
                                                     : std::nullopt;
}

// JSON may write a character beyond U+FFFF as a pair of escapes, which YAML does not know.
std::string joined_pairs(std::string_view json) {
  std::string out;
  for (std::size_t at = 0; at < json.size();) {
    const auto high = escaped_unit(json.substr(at));
    const auto low = high ? escaped_unit(json.substr(at + 6)) : std::nullopt;
    if (low && (*high & 0xFC00U) == 0xD800U && (*low & 0xFC00U) == 0xDC00U) {
      out += read_json(fmt::format("\"{}\"", json.substr(at, 12))).get<std::string>();
      at += 12;
    } else {
      const std::size_t size = json[at] == '\\' ? 2 : 1;  // of "\\\\ud83d" the backslash, and no unit
      out += json.substr(at, size);
      at += size;
    }
  }
  return out;
}

bool begins_as_json(std::string_view text) {
  const std::size_t at = text.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && (text[at] == '{' || text[at] == '[');
}

}  // namespace

Result<std::vector<YamlDocument>> parse_yaml(std::string_view text, const std::string& file) {
  if (text.find('\0') != std::string_view::npos) {
    return invalid_argument(fmt::format("{}: not YAML: it holds binary data; is this the right file?", file));
  }
  if (!is_utf8(text))
    return invalid_argument(fmt::format("{}: not YAML: it is not UTF-8; save it as UTF-8", file));
  try {
    std::vector<YamlDocument> out;
    const std::string whole = begins_as_json(text) ? joined_pairs(text) : std::string(text);
    check_progress(whole);
    for (const YAML::Node& node : YAML::LoadAll(whole)) {
      if (!node.IsDefined() || node.IsNull()) continue;
      YamlDocument document;
      document.line = node.Mark().line + 1;
      Converter converter(file, kValuesFree + kValuesPerByte * text.size(), document);
      MUSTER_ASSIGN(document.value, converter.convert(node, "", 0));
      out.push_back(std::move(document));
    }
    return out;
  } catch (const YAML::Exception& broken) {
    if (const int line = broken.mark.is_null() ? 0 : tabbed_line(text, broken.mark.line); line > 0) {
      return invalid_argument(
          fmt::format("{}:{}: not YAML: the line is set in by a tab; use spaces instead", file, line));
    }
    const std::string place =
        broken.mark.is_null() ? file
                              : fmt::format("{}:{}:{}", file, broken.mark.line + 1, broken.mark.column + 1);
    return invalid_argument(fmt::format("{}: not YAML: {}; correct the file there", place, broken.msg));
  } catch (const std::exception& broken) {
    return invalid_argument(fmt::format("{}: not YAML: {}; correct the file", file, broken.what()));
  }
}

}  // namespace muster
