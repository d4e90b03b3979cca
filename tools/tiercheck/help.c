/* help.c - help for the tool and for each command. */
#include "tools/tiercheck/tool.h"
#include <string.h>

static const struct {
    char brief;
    const char *name, *argument, *commands, *what;
} options[] = {
#define OPTION_ROW(id, brief, name, argument, commands, what) {brief, name, argument, commands, what},
    OPTIONS(OPTION_ROW)
#undef OPTION_ROW
};

static const struct {
    const char *name, *arguments, *what;
    char letter;
} commands[] = {
#define COMMAND_ROW(id, name, letter, arguments, what) {#name, arguments, what, letter},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const char *const more[] = {
    /* check */
    "Walks the pages of the data file, then reads every record: frame, checksum, key; and what records say\n"
    "of each other: that every dependency leads to a name and a value, that counters are ahead of what they\n"
    "count, that every request lies under its own identity. Writes nothing. Damaged records are never "
    "served:\n"
    "they are misses. Each problem has a stable code; notices do not make a cache unclean.\n",
    /* repair */
    "Checks as 'check --read-data' does, then deletes records that are damaged, drops variants that could\n"
    "only be misses, and writes anew what follows from other records; dependents first. A store whose pages\n"
    "are damaged is moved aside and a new one begun. Everything can be computed again, so nothing is asked;\n"
    "nothing outside of the cache directory is touched. With -n it says what it would do.\n",
    /* stats */ "Counts the records of every table and the results of every type.\n",
    /* warm */
    "Breadth-first from PATHs (directories: the sources below) over what the scanners find for C, C++,\n"
    "Python, JavaScript, TypeScript, Go, Rust and Java. What stays for the next program is what each file's\n"
    "content was when its time stamps were what they are.\n",
    /* explain */
    "For every request with that path: type, program, variants, dependencies with the values they had and\n"
    "have, what made it run last, size, cost and time; then what depends on the path.\n",
    /* inspect */
    "KEY is 64 hex digits, or the printed short form: tree:9f86d081_2c26b46b68ffc68f.\n",
    /* prune */
    "Without options it deletes values and lists of leaves that nothing refers to. Freed pages are used\n"
    "again; the data file itself does not shrink: delete the cache directory to give the space back. Stores\n"
    "that were moved aside are deleted. The newest result of a request goes last.\n",
    /* invalidate */
    "Files never need this: a changed file is found without it. It is for inputs that a program could not\n"
    "name. Results with that path, tag or type, with paths or types that match (PCRE2), or older than that,\n"
    "made before now, become misses, in every program that uses the cache, from its next session on.\n",
    /* trace */
    "record runs CMD with TIERKIT_TRACE set: each get and put of the memory of every cache that it opens is\n"
    "appended to the file, as tier, eight bytes of the key, size and cost; contents are not. Its exit\n"
    "status is CMD's, or 8 where nothing was recorded. replay says what each policy would have made of that\n"
    "in a budget of that size: misses, missed bytes, and how much of the time of computing it would have\n"
    "saved. pack joins traces into a small one without keys, fit to be handed on.\n",
    /* replay */
    "A program that runs with TIERKIT_RUN_LOG=LOG appends to it what its sessions see, by digests, and what\n"
    "they ask for and get. replay goes through the requests in their order and looks each up in the store "
    "by\n"
    "what its session saw: no build runs, and files as they are now do not matter, so that every replay "
    "says\n"
    "the same. Told of each: same; different, with the first dependency that is; gone: not remembered any\n"
    "more; not kept: by the run itself. With -v also the results below. Exit status 4: different or gone.\n",
    /* profile */
    "list: the profiles, and which is in force. show: every setting, its value and where that comes from.\n"
    "diff: what the profiles set differently; diff A: from the one in force to A; diff A B: from A to B.\n"};

static void list_options(tool *t, char letter)
{
    for (int i = 0; i < OPT_COUNT; i++) {
        char left[64], brief[5] = "    ";
        if (letter ? !strchr(options[i].commands, letter) : *options[i].commands != '*')
            continue;
        if (options[i].brief)
            snprintf(brief, sizeof brief, "-%c, ", options[i].brief);
        snprintf(left, sizeof left, "%s--%s%s%s", brief, options[i].name, options[i].argument ? " " : "",
                 options[i].argument ? options[i].argument : "");
        out_printf(t, "  %-24s %s\n", left, options[i].what);
    }
}

static void usage_of(tool *t, int command)
{
    const char *arguments = commands[command].arguments;
    out_printf(t, "%s", commands[command].name);
    for (int i = 0; i < OPT_COUNT; i++)
        if (strchr(options[i].commands, commands[command].letter) && commands[command].letter != 'i')
            out_printf(t, " [--%s%s%s]", options[i].name, options[i].argument ? " " : "",
                       options[i].argument ? options[i].argument : "");
    if (commands[command].letter == 'i')
        arguments = "PATH | --pattern RE | --tag T | --type T | --type-pattern RE | --older-than T";
    out_printf(t, "%s%s\n", *arguments ? " " : "", arguments);
}

static void help_tool(tool *t)
{
    out_text(t, "usage: tiercheck [-d DIR] [-C DIR] [--profile NAME] [--json] [-q|-v] [-n] COMMAND ...\n"
                "Looks after the cache that programs built with Tierkit keep.\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        out_printf(t, "  %-10s  %s\n", commands[i].name, commands[i].what);
    out_text(t, "\noptions of every command:\n");
    list_options(t, 0);
    out_text(
        t, "\nexit status, as fsck(8): 0 clean, 1 all damage repaired, 4 damage left, 8 trouble, 16 usage,\n"
           "32 interrupted. 'tiercheck COMMAND --help' says more.\n");
}

void tool_help(tool *t, int command)
{
    if (command < 0) {
        help_tool(t);
        return;
    }
    bool own = false;
    if (commands[command].letter == 'i')
        out_printf(t, "%s", more[command]); /* the most important thing about it comes first */
    out_text(t, commands[command].letter == 'i' ? "\nusage: tiercheck " : "usage: tiercheck ");
    usage_of(t, command);
    if (commands[command].letter != 'i')
        out_printf(t, "%s", more[command]);
    for (int i = 0; i < OPT_COUNT; i++)
        own |= strchr(options[i].commands, commands[command].letter) != NULL;
    out_text(t, own ? "\n" : "");
    list_options(t, commands[command].letter);
    out_text(t, "\nand the options of every command: see 'tiercheck --help'\n");
}
