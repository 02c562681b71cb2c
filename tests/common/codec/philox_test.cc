// tests/common/codec/philox_test.cc: the published answers, and which number each element draws
#include "common/codec/philox.h"

#include <gtest/gtest.h>

#include <set>

#include "common/codec/draws.h"

namespace muster::codec {
namespace {

// The lines "philox4x32 10" of kat_vectors, Random123 1.14 (D. E. Shaw Research).
TEST(Philox, GivesThePublishedAnswers) {
  struct Known {
    PhiloxWords counter;
    std::uint32_t key[2];
    PhiloxWords answer;
  };
  constexpr std::uint32_t kOnes = 0xffff'ffffU;
  constexpr Known kAll[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const Known& known : kAll) {
    const PhiloxWords answer = philox(known.counter, known.key[0], known.key[1]);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(answer.word[i], known.answer.word[i]);
  }
  static_assert(philox({0, 0, 0, 0}, 0, 0).word[0] == 0x6627e8d5, "known to the compiler, too");
}

TEST(RoundingDraw, IsHalfAWordOfTheElementsBlock) {
  constexpr Key kKey{.seed = 0x1122334455667788, .step = 0x99aabbccddeeff00, .bucket = 5, .first = 1024};
  const PhiloxWords words = philox({2 * 64 + 3, 5, 0xddeeff00, 0x99aabbcc}, 0x55667788, 0x11223344);
  EXPECT_EQ(rounding_draw(kKey, 3), words.word[0] & 0xffffU);
  EXPECT_EQ(rounding_draw(kKey, 64 + 3), words.word[0] >> 16);
  EXPECT_EQ(rounding_draw(kKey, 7 * 64 + 3), words.word[3] >> 16);
}

TEST(RoundingDraw, IsTheSameInEveryVectorWidth) {
  std::vector<std::uint16_t> draws(kGroupValues);
  const std::span<std::uint16_t, kGroupValues> out(draws);
  for (const Key& key : {Key{}, Key{.seed = ~0ULL, .step = ~0ULL, .bucket = ~0U, .first = 0},
                         Key{.seed = 1ULL << 40, .step = 77ULL << 30, .bucket = 9, .first = 0}}) {
    for (const std::uint64_t group : {std::uint64_t{0}, std::uint64_t{1}, (std::uint64_t{1} << 26) - 1}) {
      for (const DrawVersion& version : draw_versions()) {
        version.draw(key, static_cast<std::uint32_t>(group * kBlocksPerGroup), out);
        for (std::size_t i = 0; i < kGroupValues; ++i)
          ASSERT_EQ(draws[i], rounding_draw(key, group * kGroupValues + i)) << version.name << " " << i;
      }
    }
  }
}

TEST(RoundingDraw, DiffersInEveryPartOfTheKey) {
  std::set<std::vector<std::uint16_t>> seen;
  for (const Key& key : {Key{}, Key{.seed = 1}, Key{.seed = 1ULL << 32}, Key{.step = 1},
                         Key{.step = 1ULL << 32}, Key{.bucket = 1}, Key{.first = 512}}) {
    std::vector<std::uint16_t> draws;
    for (std::uint64_t i = 0; i < 512; ++i) draws.push_back(rounding_draw(key, i));
    EXPECT_TRUE(seen.insert(draws).second);
  }
}

TEST(GroupSlice, TilesTheVectorAtGroups) {
  for (const std::int64_t count : {0, 1, 511, 512, 513, 5000, 1'000'003}) {
    for (const std::int64_t parts : {1, 2, 3, 7}) {
      std::int64_t end = 0;
      for (std::int64_t i = 0; i < parts; ++i) {
        const Slice slice = group_slice(count, i, parts);
        EXPECT_EQ(slice.begin, end);
        EXPECT_TRUE(slice.begin % 512 == 0 || slice.begin == count);
        EXPECT_LE(slice.size(), (count / 512 / parts + 2) * 512);
        end = slice.end;
      }
      EXPECT_EQ(end, count);
    }
  }
}

}  // namespace
}  // namespace muster::codec
