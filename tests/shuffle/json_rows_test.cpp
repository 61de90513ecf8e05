// What the key of a JSON line is.
#include "shuffle/json_rows.hpp"

#include <vector>

#include "catch.hpp"

namespace shoal::shuffling::test {
namespace {

class Keys final : public RowSink {
public:
    bool row(std::string_view, std::string_view key) override {
        found.emplace_back(key);
        return true;
    }
    bool bad(std::size_t, BadRow reason, std::uint64_t) override {
        found.emplace_back(reason_text(reason));
        return true;
    }
    void blank() override { found.emplace_back("(blank)"); }

    std::vector<std::string> found;
};

std::vector<std::string> keys_of(std::string text, const std::string& key = "k") {
    RowShape shape;
    shape.format = Format::kJsonLines;
    shape.json_key = key;
    const std::size_t size = text.size();
    text.resize(size + kWindowPadding);
    Keys keys;
    REQUIRE(JsonRows(shape).scan({text.data(), size, size, true}, keys) == size);
    return keys.found;
}

}  // namespace

TEST_CASE("a JSON string is the value that it stands for, anything else its raw text") {
    REQUIRE(keys_of(R"({"a":{"k":"inner, }"},"k":"caf\u00e9 \"x\""})"
                    "\n") == std::vector<std::string>{"caf\u00e9 \"x\""});
    REQUIRE(keys_of("{\"x\":[1,{\"k\":2}], \"k\" : 1.50 , \"z\":0}\n") == std::vector<std::string>{"1.50"});
    REQUIRE(keys_of("{\"k\":1e400000}\n{\"k\":12345678901234567890}\n").back() == "12345678901234567890");
    REQUIRE(keys_of("{\"k\":true}\n{\"k\": null }\n") == std::vector<std::string>{"true", "null"});
    REQUIRE(keys_of("{\"a\":\"\\\\\",\"k\":[1, \"]\"]}\r\n") == std::vector<std::string>{"[1, \"]\"]"});
    REQUIRE(keys_of("{\"k\":{}}\n{\"k\":[]}\n") == std::vector<std::string>{"{}", "[]"});
}

TEST_CASE("a JSON key is found however it is escaped, and the first of two counts") {
    REQUIRE(keys_of("{\"\\u006b\":\"v\"}\n") == std::vector<std::string>{"v"});
    REQUIRE(keys_of("{\"k\":1,\"k\":2}\n") == std::vector<std::string>{"1"});
    REQUIRE(keys_of("{\"\":7}\n", "") == std::vector<std::string>{"7"});
}

TEST_CASE("a JSON line of blanks is blank, and each malformed one says what it is") {
    REQUIRE(keys_of("\n \t\r\n") == std::vector<std::string>{"(blank)", "(blank)"});
    REQUIRE(keys_of("{\"k\":1} {\"k\":2}\n{\"k\":\n{\"k\":\"\xff\"}\n") ==
            std::vector<std::string>{"invalid JSON", "invalid JSON", "invalid JSON"});
    REQUIRE(keys_of("3\n{}\n") == std::vector<std::string>{"JSON that is not an object", "object without the key"});
}

}  // namespace shoal::shuffling::test
