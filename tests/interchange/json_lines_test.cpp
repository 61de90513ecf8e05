// JSON lines: what is written, what is read, and what is refused.
#include "catch.hpp"
#include "memory_rows.hpp"

using namespace shoal_test;

TEST_CASE("A row is an object on a line, with text where the bytes are UTF-8 and base64 where not") {
    CHECK(written(kJson, {{"apple", "red"}}) == "{\"key\":\"apple\",\"record\":\"red\"}\n");
    CHECK(written(kJson, {{"", ""}}) == "{\"key\":\"\",\"record\":\"\"}\n");
    CHECK(written(kJson, {{"k\xFF", "\xC3\x9F\"\\\n\r\t\x01\x7F"}}) ==
          "{\"key_base64\":\"a/8=\",\"record\":\"\xC3\x9F\\\"\\\\\\n\\r\\t\\u0001\x7F\"}\n");
    CHECK(written(kJson, {{"k", std::string("\xFB\xFF\xFE", 3)}}) ==
          "{\"key\":\"k\",\"record_base64\":\"+//+\"}\n");
    CHECK(written(kJson, {{"k", "\xED\xA0\x80"}}) ==  // a surrogate is no UTF-8
          "{\"key\":\"k\",\"record_base64\":\"7aCA\"}\n");
    CHECK(written(kJson, {}) == "");
}

TEST_CASE("Members are read in either order, with blanks, escapes and blank lines, and without a last newline") {
    const Rows rows = {{"a", "1"}, {std::string("\0b", 2), "\xF0\x9F\x90\x9F\n"}, {"c", "\xFF"}};
    const Read result = read(kJson,
                             "\n  \r\n{ \"record\" : \"1\" , \"key\" : \"a\" }\r\n"
                             "{\"key\":\"\\u0000b\",\"record\":\"\\ud83d\\udc1f\\n\"}\n\n"
                             "{\"key_base64\":\"Yw==\",\"record_base64\":\"/w==\"}");
    CHECK(result.error == "");
    CHECK(result.rows == rows);
    CHECK(read(kJson, "").rows.empty());
}

TEST_CASE("What is no row is refused, by its row and line") {
    const auto check = [](const std::string& line, const std::string& expected) {
        INFO(line);
        const Read result = read(kJson, "{\"key\":\"a\",\"record\":\"1\"}\n\n" + line + "\n{\"key\":\"b\"}\n");
        CHECK(result.error.starts_with("row 2, line 3: "));
        CHECK(result.error.find(expected) != std::string::npos);
        CHECK(result.code == shoal::Code::kInvalidArgument);
        CHECK(result.rows == Rows{{"a", "1"}});
    };
    check("{\"key\":\"a\",\"record\":\"1\"", "");
    check("[1]", "it is no JSON object");
    check("{\"key\":\"a\"}", "it has no record");
    check("{\"record\":\"a\"}", "it has no key");
    check("{\"key\":\"a\",\"record\":1}", "its member \"record\" is no string");
    check("{\"key\":null,\"record\":\"1\"}", "its member \"key\" is no string");
    check("{\"key\":\"a\",\"record\":\"1\",\"more\":\"2\"}", "its member \"more\" is not known");
    check("{\"key\":\"a\",\"records\":\"1\"}", "its member \"records\" is not known");
    check("{\"key\":\"a\",\"key_base64\":\"YQ==\",\"record\":\"1\"}", "it has two members for its key");
    check("{\"key\":\"a\",\"record\":\"1\",\"record\":\"2\"}", "it has two members for its record");
    for (const char* text : {"Y", "YQ", "YQ=", "Y===", "====", "YR==", "Y=Q=", "YQ==YQ==", "Y Q=", "Y-_="}) {
        check(std::string("{\"key_base64\":\"") + text + "\",\"record\":\"1\"}", "no base64");
    }
    check("{\"key\":\"\\ud800\",\"record\":\"1\"}", "");
    check("{\"key\":\"\xFF\",\"record\":\"1\"}", "");
    check("ARROW1", "this looks like Arrow");
}

TEST_CASE("Lines that are cut off or changed anywhere do no harm") {
    const std::string whole = written(kJson, {{"apple", "red\n\"\\"}, {"k\xFF", "\xC3\x9F"}, {"", "\xFE\xFF"}});
    for (std::size_t at = 0; at < whole.size(); ++at) {
        static_cast<void>(read(kJson, whole.substr(0, at), 3));
        for (int to = 0; to < 256; ++to) {
            std::string changed = whole;
            changed[at] = static_cast<char>(to);
            static_cast<void>(read(kJson, changed));
        }
    }
    SUCCEED("no sanitizer and no signal ended it");
}
