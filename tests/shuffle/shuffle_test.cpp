// The whole job, forks and all: its result is what the reference reader finds, whatever the workers and sizes.
#include "shuffle/shuffle.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <rapidcheck.h>

#include <algorithm>

#include "../refused_calls.hpp"
#include "../store/child.hpp"
#include "reference_reader.hpp"
#include "shuffle/mapper.hpp"
#include "temporary_folder.hpp"

namespace shoal::shuffling::test {
namespace {

ShuffleOptions options_for(const TemporaryFolder& folder, const std::string& input) {
    ShuffleOptions options;
    options.inputs = {input};
    options.by = "b";
    options.partitions = 3;
    options.out_dir = folder / "out";
    options.force = true;
    options.memory_limit_bytes = 64 << 20;
    return options;
}

// Well formed, or anything made of the bytes that matter.
std::string some_rows(bool well_formed) {
    const auto row = rc::gen::element<std::string>("1,2\n", "\"x\",y\r\n", "\"p\nq\",\"r,\"\"\"\r\n", "\n",
                                                   std::string(90, 'z') + ",w\n", ",\n");
    const auto piece = rc::gen::element<std::string>("a", "bc", ",", ",", "\n", "\n", "1,2\n", "\"x\",y\n", "\"",
                                                     "\"\"", "\"p\nq\",r\r\n", "\r", std::string(90, 'z') + ",w\n");
    std::string text;
    for (const auto& part : *rc::gen::container<std::vector<std::string>>(well_formed ? row : piece)) text += part;
    return text;
}

}  // namespace

TEST_CASE("partitions, counts and the row that is named are the same for any workers and sizes") {
    const TemporaryFolder folder;
    REQUIRE(rc::check([&] {
        const std::string header = "a,b\n";
        const std::string text = header + some_rows(true) + some_rows(*rc::gen::arbitrary<bool>());
        const std::string path = folder.write("in.csv", text);
        RowShape shape;
        shape.columns = 2;
        shape.column = 1;
        const Reading expected = read_csv(text, header.size(), shape, "\n");
        auto options = options_for(folder, path);
        options.workers = *rc::gen::inRange(1U, 9U);
        options.chunk_bytes = *rc::gen::element<std::uint64_t>(0, 1, 3, 17, 64, 1000);
        options.read_buffer_bytes = *rc::gen::element<std::size_t>(0, 1, 64, 100);
        RC_TAG(expected.bad.empty() ? "all well formed" : "some malformed");

        const auto strict = shuffle(options);
        RC_ASSERT(strict.has_value() == expected.bad.empty());
        if (!strict) {
            const auto before = text.begin() + static_cast<std::ptrdiff_t>(expected.bad.front().offset);
            const auto line = 1 + std::count(text.begin(), before, '\n');
            RC_ASSERT(strict.error().cause == ShuffleCause::kBadInput);
            RC_ASSERT(strict.error().message.rfind(path + ":" + std::to_string(line) + ": ", 0) == 0U);
        }
        options.on_bad_row = OnBadRow::kSkip;
        const auto summary = shuffle(options);
        RC_ASSERT(summary.has_value());
        RC_ASSERT(summary->rows == expected.rows.size());
        RC_ASSERT(summary->skipped_rows == expected.bad.size());
        RC_ASSERT(summary->blank_lines == expected.blank_lines);
        RC_ASSERT(summary->first_skipped.size() == std::min<std::size_t>(expected.bad.size(), 5));
        for (std::uint32_t partition = 0; partition < 3; ++partition) {
            std::vector<GoodRow> rows;
            for (const GoodRow& row : expected.rows) {
                if (partition_of(row.key, 3) == partition) rows.push_back(row);
            }
            const std::string file = contents(folder / ("out/" + part_name(partition) + ".csv"));
            auto found = read_csv(file, header.size(), shape, "\n").rows;
            std::sort(found.begin(), found.end());
            std::sort(rows.begin(), rows.end());
            RC_ASSERT(file.substr(0, header.size()) == header);
            RC_ASSERT(found == rows);
        }
    }));
}

TEST_CASE("one worker keeps the order of the input") {
    const TemporaryFolder folder;
    std::string text = "a,b\n";
    for (int row = 0; row < 5000; ++row) text += std::to_string(row) + ",same\n";
    auto options = options_for(folder, folder.write("in.csv", text));
    options.workers = 1;
    options.by_value = true;
    options.partitions = 0;
    REQUIRE(shuffle(options).has_value());
    REQUIRE(contents(folder / "out/value-same.csv") == text);
}

TEST_CASE("one worker keeps the order of the input when rows are written before all are read") {
    const TemporaryFolder folder;
    std::string text = "a,b\n";
    for (int row = 0; row < 300'000; ++row) {
        text += std::to_string(row) + (row % 3 == 0 ? std::string(200, 'x') : "") + ",same\n";
    }
    auto options = options_for(folder, folder.write("in.csv", text));
    options.workers = 1;
    options.by_value = true;
    options.partitions = 0;
    options.memory_limit_bytes = 8 << 20;
    const auto summary = shuffle(options);
    REQUIRE(summary.has_value());
    REQUIRE(summary->early_bytes > text.size() / 2);
    REQUIRE((contents(folder / "out/value-same.csv") == text));
}

TEST_CASE("where no thread is to be had the job says so, ends, and leaves nothing behind", "[process]") {
    const TemporaryFolder folder;
    std::string text = "a,b\n";
    for (int row = 0; row < 50'000; ++row) text += std::to_string(row) + "," + std::to_string(row % 7) + "\n";
    auto options = options_for(folder, folder.write("in.csv", text));
    options.workers = 2;
    REQUIRE(shoal_test::Child::run([&]() -> std::string {
                if (!shoal_test::refuse_new_threads()) return "seccomp is refused";
                const auto result = shuffle(options);
                if (result) return "it went well";
                return result.error().message.find("thread") == std::string::npos ? result.error().message : "";
            }) == "");
    CHECK_FALSE(std::filesystem::exists(options.out_dir));
}

TEST_CASE("a full disk is named, and leaves nothing behind") {
    const TemporaryFolder folder;
    const std::string mount_point = folder / "small";
    std::filesystem::create_directory(mount_point);
    const bool early = GENERATE(false, true);  // before all rows are read
    if (mount("none", mount_point.c_str(), "tmpfs", 0, early ? "size=2m" : "size=256k") != 0) {
        SHOAL_SKIP("no permission to mount a small tmpfs");
    }
    std::string text = "a,b\n";
    for (int row = 0; row < 50'000; ++row)
        text += std::to_string(row) + "," + std::string(early ? 300 : 9, 'x') + "\n";
    auto options = options_for(folder, folder.write("in.csv", text));
    if (early) options.memory_limit_bytes = 8 << 20;
    options.out_dir = mount_point + "/out";
    const auto result = shuffle(options);
    const bool empty = std::filesystem::is_empty(mount_point);
    umount(mount_point.c_str());
    REQUIRE_FALSE(result.has_value());
    REQUIRE(result.error().cause == ShuffleCause::kSystem);
    REQUIRE(result.error().message.find("No space left on device") != std::string::npos);
    REQUIRE(empty);
}

}  // namespace shoal::shuffling::test
