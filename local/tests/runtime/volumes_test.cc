// local/tests/runtime/volumes_test.cc: volumes as folders: content, modes, and no way out of them
#include "local/runtime/volumes.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "local/tests/runtime/builders.h"

namespace muster::local {
namespace {

namespace fs = std::filesystem;

class VolumesTest : public testing::Test {
 protected:
  Result<std::map<std::string, fs::path>> prepare(const Json& volume) {
    Json named = volume;
    named["name"] = "v";
    pod_["spec"]["volumes"] = Json::array({named});
    return prepare_volumes({.pod = pod_,
                            .pod_folder = folder_.path() / "pod",
                            .volumes_folder = folder_.path() / "volumes",
                            .node_cpu_milli = 4000,
                            .node_memory_milli = 8000,
                            .read = [this](std::string_view resource, std::string_view name) -> Result<Json> {
                              const auto found =
                                  objects_.find(std::string(resource) + "/" + std::string(name));
                              if (found == objects_.end()) return not_found("none");
                              return found->second;
                            },
                            .token = [] { return Result<std::string>("t0ken"); },
                            .bound = [](const Json&) {},
                            .claims = claims_});
  }
  static std::string read(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static int mode(const fs::path& file) {
    struct stat info {};
    return ::stat(file.c_str(), &info) == 0 ? static_cast<int>(info.st_mode & 0777) : -1;
  }

  TemporaryFolder folder_;
  Json pod_ = PodBuilder("p").shell("true");
  std::map<std::string, Json> objects_;
  ClaimLocks claims_;
};

TEST_F(VolumesTest, WritesKeysItemsAndModes) {
  objects_["configmaps/conf"] = {{"data", {{"a", "1"}, {"b", "2"}}}, {"binaryData", {{"bin", "AAE="}}}};
  const auto all = prepare({{"configMap", {{"name", "conf"}, {"defaultMode", 0440}}}});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(read(all->at("v") / "a"), "1");
  EXPECT_EQ(read(all->at("v") / "bin"), std::string("\0\1", 2));
  EXPECT_EQ(mode(all->at("v") / "b"), 0440);

  objects_["secrets/key"] = {{"data", {{"token", "YWJj"}}}};
  const auto items = prepare({{"secret",
                               {{"secretName", "key"},
                                {"defaultMode", 0400},
                                {"items", {{{"key", "token"}, {"path", "deep/t"}, {"mode", 0600}}}}}}});
  ASSERT_TRUE(items) << items.error().message;
  EXPECT_EQ(read(items->at("v") / "deep/t"), "abc");
  EXPECT_EQ(mode(items->at("v") / "deep/t"), 0600);
}

TEST_F(VolumesTest, WritesTheAccountsTokenBesideWhatElseIsProjected) {
  objects_["configmaps/kube-root-ca.crt"] = {{"data", {{"ca.crt", "CA"}}}};
  const Json token{{"serviceAccountToken", {{"path", "token"}, {"expirationSeconds", 3607}}}};
  const Json authority{{"configMap", {{"name", "kube-root-ca.crt"}}}};
  const auto all = prepare({{"projected", {{"sources", Json::array({token, authority})}}}});
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(read(all->at("v") / "token"), "t0ken");
  EXPECT_EQ(mode(all->at("v") / "token"), 0600);
  EXPECT_EQ(read(all->at("v") / "ca.crt"), "CA");

  const Json other{{"serviceAccountToken", {{"path", "token"}, {"audience", "vault"}}}};
  EXPECT_FALSE(prepare({{"projected", {{"sources", Json::array({other})}}}}));
}

// The programs of a pod run as its owner, and nobody else of the machine is to read what they are trusted
// with.
TEST_F(VolumesTest, ShowsASecretToNobodyElse) {
  objects_["secrets/key"] = {{"data", {{"0.key", "YWJj"}, {"0.crt", "ZGVm"}, {"1.key", "Z2hp"}}}};
  const Json source{
      {"items",
       {{{"key", "0.key"}, {"path", "tls.key"}}, {{"key", "0.crt"}, {"path", "tls.crt"}, {"mode", 0444}}}}};
  for (const char* kind : {"secret", "projected"}) {
    const bool projected = std::string_view(kind) == "projected";
    Json secret = source;
    secret[projected ? "name" : "secretName"] = "key";
    if (!projected) secret["defaultMode"] = 0440;
    const auto made = prepare({{kind, projected ? Json{{"sources", {{{"secret", secret}}}}} : secret}});
    ASSERT_TRUE(made) << made.error().message;
    const fs::path folder = made->at("v");
    EXPECT_EQ(read(folder / "tls.key"), "abc");
    EXPECT_EQ(mode(folder / "tls.key"), projected ? 0640 : 0440);
    EXPECT_EQ(mode(folder / "tls.crt"), 0440);
    EXPECT_EQ(mode(folder), 0700) << kind;
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 2) << "no key that the items do not name";
    struct stat info {};
    ASSERT_EQ(::stat((folder / "tls.key").c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, ::getuid());
  }
  const auto missing =
      prepare({{"secret", {{"secretName", "key"}, {"items", {{{"key", "2.key"}, {"path", "x"}}}}}}});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("references non-existent secret key: 2.key"), std::string::npos);
  EXPECT_TRUE(prepare(
      {{"secret",
        {{"secretName", "key"}, {"optional", true}, {"items", {{{"key", "2.key"}, {"path", "x"}}}}}}}));
}

TEST_F(VolumesTest, ProjectsSeveralSourcesAndTellsOfThePod) {
  objects_["configmaps/conf"] = {{"data", {{"a", "1"}}}};
  pod_["metadata"]["labels"] = {{"app", "x"}};
  const Json items{
      {{"path", "labels"}, {"fieldRef", {{"fieldPath", "metadata.labels"}}}},
      {{"path", "cpu"}, {"resourceFieldRef", {{"containerName", "main"}, {"resource", "limits.cpu"}}}}};
  const auto made = prepare(
      {{"projected",
        {{"sources", {{{"configMap", {{"name", "conf"}}}}, {{"downwardAPI", {{"items", items}}}}}}}}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(read(made->at("v") / "a"), "1");
  EXPECT_EQ(read(made->at("v") / "labels"), "app=\"x\"");
  EXPECT_EQ(read(made->at("v") / "cpu"), "4") << "without a limit: what the node has";
}

TEST_F(VolumesTest, WaitsForWhatIsMissingUnlessItIsOptional) {
  const auto missing = prepare({{"configMap", {{"name", "later"}}}});
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("configmap \"later\" not found"), std::string::npos);
  EXPECT_TRUE(prepare({{"configMap", {{"name", "later"}, {"optional", true}}}}));
  EXPECT_FALSE(prepare({{"persistentVolumeClaim", {{"claimName", "none"}}}}));
  EXPECT_FALSE(prepare({{"hostPath", {{"path", (folder_.path() / "no").string()}, {"type", "Directory"}}}}));
  EXPECT_FALSE(prepare({{"nfs", {{"server", "x"}}}}));
}

TEST_F(VolumesTest, SaysWhyAHostPathCannotBeLookedAt) {
  for (const char* type : {"DirectoryOrCreate", "FileOrCreate", "Directory"}) {
    const std::string too_long = "/tmp/" + std::string(300, 'x') + "/y";
    const auto made = prepare({{"hostPath", {{"path", too_long}, {"type", type}}}});
    ASSERT_FALSE(made) << type;
    EXPECT_NE(made.error().message.find(too_long), std::string::npos) << made.error().message;
  }
}

TEST_F(VolumesTest, LeavesAClaimToTheRunThatHasIt) {
  objects_["persistentvolumeclaims/data"] = Json::object();
  const Json volume{{"persistentVolumeClaim", {{"claimName", "data"}}}};
  ASSERT_TRUE(prepare(volume));
  EXPECT_TRUE(prepare(volume)) << "several pods of one run share it";
  ClaimLocks another_run;
  const Status refused = another_run.hold(prepare(volume)->at("v"));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("in use by another run"), std::string::npos);
}

TEST_F(VolumesTest, SaysWhatIsThereInsteadOfAClaimsFolder) {
  objects_["persistentvolumeclaims/data"] = Json::object();
  const std::filesystem::path claim = folder_.path() / "volumes" / "test" / "data";
  std::filesystem::create_directories(claim.parent_path());
  std::filesystem::create_symlink("/nonexistent", claim);
  const auto made = prepare({{"persistentVolumeClaim", {{"claimName", "data"}}}});
  ASSERT_FALSE(made);
  EXPECT_NE(
      made.error().message.find("test/data is a link to /nonexistent, which does not exist; move it away"),
      std::string::npos)
      << made.error().message;
}

// The API server refuses most of these before; the node trusts nobody with its paths.
TEST_F(VolumesTest, StaysInsideWhateverTheManifestSays) {
  for (const char* key : {"../evil", "/etc/evil", "a/../../evil", ".."}) {
    objects_["configmaps/conf"] = {{"data", {{key, "x"}, {"k", "x"}}}};
    EXPECT_FALSE(prepare({{"configMap", {{"name", "conf"}}}})) << key;
    EXPECT_FALSE(prepare({{"configMap", {{"name", "conf"}, {"items", {{{"key", "k"}, {"path", key}}}}}}}))
        << key;
  }
  objects_["persistentvolumeclaims/.."] = Json::object();
  EXPECT_FALSE(prepare({{"persistentVolumeClaim", {{"claimName", ".."}}}}));
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path()))
    EXPECT_EQ(entry.path().string().find("evil"), std::string::npos) << entry.path();
}

TEST_F(VolumesTest, FindsASubPathThroughLinksButNotOutOfTheVolume) {
  const fs::path volume = folder_.path() / "volume";
  fs::create_directories(volume / "real");
  fs::create_directories(folder_.path() / "outside");
  fs::create_directory_symlink("real", volume / "inner");
  fs::create_directory_symlink("../outside", volume / "outer");
  fs::create_directory_symlink(folder_.path() / "outside", volume / "absolute");
  EXPECT_EQ(place_inside(volume, "inner/new"), fs::canonical(volume) / "real/new");
  EXPECT_TRUE(fs::is_directory(volume / "real/new"));
  for (const char* bad : {"outer", "outer/new", "absolute", "real/../../outside", "inner/../../outside"})
    EXPECT_FALSE(place_inside(volume, bad)) << bad;
  EXPECT_TRUE(fs::is_empty(folder_.path() / "outside"));
  std::ofstream(volume / "file") << "x";
  EXPECT_EQ(place_inside(volume, "file"), fs::canonical(volume) / "file");
}

}  // namespace
}  // namespace muster::local
