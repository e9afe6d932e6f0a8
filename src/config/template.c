/* Texts with variables: compiled once, evaluated in two passes and one allocation.
 * Runs in: load: any; evaluation: loop thread. */
#include "base/arena.h"
#include "config/variable.h"

/* Values are gathered here first, so that a volatile variable is asked once; longer templates take
 * the room from the subject's arena. */
enum { PARTS_ON_STACK = 24 };

struct template_part {
    struct slice literal;            /* of a part that is text */
    const struct variable *variable; /* or NULL */
    unsigned capture;                /* 1..9, or 0 */
};

struct compiler {
    struct variables *variables;
    struct arena *arena;
    struct slice text; /* a copy that lives as long as the template */
    size_t at;
    const char **error;
};

static bool fail(struct compiler *compiler, struct slice message)
{
    *compiler->error = message.data == NULL ? "no memory" : message.data;
    return false;
}

static bool fail_name(struct compiler *compiler)
{
    return fail(compiler, arena_printf(compiler->arena, "invalid variable name at character %zu",
                                       compiler->at + 1));
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* What follows a `$`, which is at `compiler->at`. */
static bool take_variable(struct compiler *compiler, struct template_part *part)
{
    struct slice rest = slice_skip(compiler->text, compiler->at + 1);
    bool bracket = rest.len > 0 && rest.data[0] == '{';
    struct slice name;

    if (rest.len > 0 && rest.data[0] >= '1' && rest.data[0] <= '9') {
        part->capture = (unsigned)(rest.data[0] - '0');
        compiler->at += 2;
        return true;
    }
    if (bracket)
        rest = slice_skip(rest, 1);
    name = slice_make(rest.data, 0);
    while (name.len < rest.len && is_name_char(name.data[name.len]))
        name.len++;
    if (bracket && (name.len == rest.len || name.data[name.len] != '}'))
        return fail(compiler, arena_printf(compiler->arena,
                                           "the closing bracket in \"%.*s\" variable is missing",
                                           SLICE_ARG(name)));
    if (name.len == 0)
        return fail_name(compiler);
    part->variable = variables_find(compiler->variables, name);
    if (part->variable == NULL)
        return fail(compiler,
                    arena_printf(compiler->arena, "unknown \"%.*s\" variable", SLICE_ARG(name)));
    compiler->at += 1 + name.len + (bracket ? 2 : 0);
    return true;
}

static void take_literal(struct compiler *compiler, struct template_part *part)
{
    struct slice rest = slice_skip(compiler->text, compiler->at);
    ptrdiff_t dollar = slice_find(rest, '$');

    part->literal = slice_head(rest, dollar < 0 ? rest.len : (size_t)dollar);
    compiler->at += part->literal.len;
}

/* At most two parts per `$`, and one before the first. */
static size_t parts_at_most(struct slice text)
{
    size_t count = 1;

    for (size_t i = 0; i < text.len; i++)
        count += text.data[i] == '$' ? 2 : 0;
    return count;
}

static bool compile_parts(struct compiler *compiler, struct template *result)
{
    size_t room = parts_at_most(compiler->text);
    struct template_part *parts = arena_zalloc(compiler->arena, room * sizeof *parts);

    if (parts == NULL)
        return fail(compiler, slice_make(NULL, 0));
    while (compiler->at < compiler->text.len) {
        struct template_part *part = &parts[result->part_count];

        if (compiler->text.data[compiler->at] != '$')
            take_literal(compiler, part);
        else if (!take_variable(compiler, part))
            return false;
        result->part_count++;
    }
    result->parts = parts;
    return true;
}

struct template *template_compile(struct variables *variables, struct arena *arena,
                                  struct slice text, const char **error)
{
    struct template *result = arena_zalloc(arena, sizeof *result);
    struct compiler compiler = {.variables = variables, .arena = arena, .error = error};

    *error = "no memory";
    compiler.text = arena_copy(arena, text);
    if (result == NULL || compiler.text.data == NULL)
        return NULL;
    result->source = compiler.text;
    result->constant = slice_find(text, '$') < 0;
    if (!result->constant && !compile_parts(&compiler, result))
        return NULL;
    *error = NULL;
    return result;
}

static struct slice part_value(const struct template_part *part, struct subject *subject)
{
    struct slice text = SLICE("");

    if (part->variable != NULL)
        variable_value(subject, part->variable, &text);
    else if (part->capture == 0)
        text = part->literal;
    else if (part->capture < subject->capture_count)
        text = subject->captures[part->capture];
    return text;
}

static bool join(struct subject *subject, const struct slice *values, unsigned count,
                 struct slice *text)
{
    size_t len = 0;
    char *out;

    for (unsigned i = 0; i < count; i++)
        len += values[i].len;
    out = arena_bytes(subject->arena, len + 1);
    if (out == NULL)
        return false;
    *text = slice_make(out, len);
    for (unsigned i = 0; i < count; i++) {
        if (values[i].len > 0)
            memcpy(out, values[i].data, values[i].len);
        out += values[i].len;
    }
    *out = '\0';
    return true;
}

bool template_eval(const struct template *template, struct subject *subject, struct slice *text)
{
    struct slice few[PARTS_ON_STACK];
    struct slice *values = few;
    unsigned undecided = subject->undecided;

    if (template->constant) {
        *text = template->source;
        return true;
    }
    if (template->part_count == 1) {
        *text = part_value(&template->parts[0], subject);
        return subject->undecided == undecided;
    }
    if (template->part_count > PARTS_ON_STACK)
        values = arena_alloc(subject->arena, template->part_count * sizeof *values);
    if (values == NULL)
        return false;
    for (unsigned i = 0; i < template->part_count; i++)
        values[i] = part_value(&template->parts[i], subject);
    return subject->undecided == undecided && join(subject, values, template->part_count, text);
}

bool template_true(const struct template *template, struct subject *subject)
{
    struct slice text;

    return template_eval(template, subject, &text) && text.len > 0 &&
           !(text.len == 1 && text.data[0] == '0');
}
