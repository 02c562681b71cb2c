// tests/kube/read_object_test.cc: managedFields are not read, everything else is
#include "kube/read_object.h"

#include <gtest/gtest.h>

#include "common/json/read_json.h"

namespace muster::kube {
namespace {

struct Text {
  const char* name;
  const char* sent;
  const char* read;  // the same value, or none of both is JSON
};
class ReadObject : public ::testing::TestWithParam<Text> {};

TEST_P(ReadObject, LeavesOutManagedFieldsAndNothingElse) {
  EXPECT_EQ(read_object(GetParam().sent).dump(), read_json(GetParam().read).dump());
}
INSTANTIATE_TEST_SUITE_P(
    Texts, ReadObject,
    ::testing::Values(
        Text{"First", R"({"metadata":{"managedFields":[{"f:a":{"k:{\"x\":1}":{}}}],"name":"p"}})",
             R"({"metadata":{"name":"p"}})"},
        Text{"Last", R"({"metadata":{"name":"p","managedFields":[{"manager":"]},\\"}]},"spec":{}})",
             R"({"metadata":{"name":"p"},"spec":{}})"},
        Text{"Between", R"({"metadata":{"a":1,"managedFields":null,"b":2}})",
             R"({"metadata":{"a":1,"b":2}})"},
        Text{"Alone", R"({"metadata":{"managedFields":[]}})", R"({"metadata":{}})"},
        Text{"Twice", R"({"metadata":{"a":1,"managedFields":[],"managedFields":"x"}})",
             R"({"metadata":{"a":1}})"},
        Text{"Spaced", "{ \"metadata\" : {\n \"a\" : 1 ,\n \"managedFields\" : [ { } ]\n }\n}",
             R"({"metadata":{"a":1}})"},
        Text{"OfAnEvent", R"({"type":"ADDED","object":{"metadata":{"managedFields":[1],"uid":"u"}}})",
             R"({"type":"ADDED","object":{"metadata":{"uid":"u"}}})"},
        Text{
            "OfItems",
            R"({"items":[{"metadata":{"managedFields":[1]}},{"metadata":{"a":1,"managedFields":[1]},"b":2}]})",
            R"({"items":[{"metadata":{}},{"metadata":{"a":1},"b":2}]})"},
        Text{"OfATemplate", R"({"spec":{"template":{"metadata":{"managedFields":[1]}}}})",
             R"({"spec":{"template":{"metadata":{"managedFields":[1]}}}})"},
        Text{"OfASpec", R"({"spec":{"metadata":{"managedFields":[1]}},"managedFields":1})",
             R"({"spec":{"metadata":{"managedFields":[1]}},"managedFields":1})"},
        Text{"AsALabel", R"({"metadata":{"labels":{"managedFields":"x"},"a":"managedFields"}})",
             R"({"metadata":{"labels":{"managedFields":"x"},"a":"managedFields"}})"},
        Text{"AsAValue", R"({"metadata":{"a":"\"managedFields\":","b":["managedFields"]}})",
             R"({"metadata":{"a":"\"managedFields\":","b":["managedFields"]}})"},
        Text{"CutOff", R"({"metadata":{"a":1,"managedFields":[{"x)", R"({)"},
        Text{"CutOffBefore", R"({"metadata":{"a":1,"managedFields":)", R"({)"},
        Text{"NoObject", R"(]]}"managedFields":1)", R"({)"}),
    [](const auto& at) { return at.param.name; });

}  // namespace
}  // namespace muster::kube
