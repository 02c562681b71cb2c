// local/tests/api/mirror.cc: list, watch, compare
#include "local/tests/api/mirror.h"

#include <stdexcept>

namespace muster::local {
namespace {

using testing::HttpsClient;

std::string key_of(const Json& object) {
  const Json& metadata = object.at("metadata");
  return metadata.value("namespace", "") + "/" + metadata.at("name").get<std::string>();
}

HttpsClient connect(const testing::HttpsTarget& target) {
  auto client = HttpsClient::connect(target);
  if (!client) throw std::runtime_error(client.error().message);
  return std::move(*client);
}

}  // namespace

Mirror::Mirror(testing::HttpsTarget target, std::string path)
    : target_(std::move(target)), path_(std::move(path)) {
  HttpsClient client = connect(target_);
  objects_ = list(client, path_, &version_);
  thread_ = std::thread([this] { run(); });
}

Mirror::~Mirror() {
  stopping_ = true;
  thread_.join();
}

std::map<std::string, std::string> Mirror::objects() const {
  const std::lock_guard lock(mutex_);
  return objects_;
}

std::string Mirror::problem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

std::map<std::string, std::string> Mirror::list(HttpsClient& client, const std::string& path,
                                                std::string* version) {
  const auto answer = client.request("GET", path);
  if (!answer || answer->status != 200) throw std::runtime_error("no list of " + path);
  const Json json = Json::parse(answer->body);
  if (version != nullptr) *version = json.at("metadata").at("resourceVersion").get<std::string>();
  std::map<std::string, std::string> objects;
  for (const Json& item : json.at("items")) objects[key_of(item)] = item.dump();
  return objects;
}

void Mirror::complain(const std::string& what) {
  const std::lock_guard lock(mutex_);
  if (problem_.empty()) problem_ = path_ + ": " + what;
}

void Mirror::run() {
  try {
    while (!stopping_ && problem().empty()) {
      HttpsClient client = connect(target_);
      watch(client);
    }
  } catch (const std::exception& error) {
    complain(error.what());
  }
}

// Until the server ends it, which it does after a second.
void Mirror::watch(HttpsClient& client) {
  const auto head = path_ + "?watch=true&timeoutSeconds=1&resourceVersion=" + version_;
  if (!client.send(client.head("GET", head, 0))) throw std::runtime_error("a watch cannot be sent");
  const auto answer = client.receive_response();
  if (!answer) throw std::runtime_error("a watch is cut: " + answer.error().message);
  if (answer->status != 200) throw std::runtime_error("a watch is refused: " + answer->body);
  std::size_t at = 0;
  while (at < answer->body.size()) {
    const auto end = answer->body.find('\n', at);
    if (end == std::string::npos) break;
    take(Json::parse(answer->body.substr(at, end - at)));
    at = end + 1;
  }
}

void Mirror::take(const Json& event) {
  const std::string type = event.at("type");
  const Json& object = event.at("object");
  if (type == "ERROR") return complain("the watch lost its place: " + event.dump());
  const std::string version = object.at("metadata").at("resourceVersion");
  if (std::stoull(version) <= std::stoull(version_))
    complain("version " + version + " comes after " + version_);
  const std::string key = key_of(object);
  const std::lock_guard lock(mutex_);
  version_ = version;
  ++events_;
  const bool known = objects_.count(key) > 0;
  if (known == (type == "ADDED") && problem_.empty())
    problem_ = path_ + ": " + type + " of " + key + (known ? ", known" : ", unknown");
  if (type == "DELETED")
    objects_.erase(key);
  else
    objects_[key] = object.dump();
}

}  // namespace muster::local
