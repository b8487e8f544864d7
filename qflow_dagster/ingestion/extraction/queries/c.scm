(function_definition) @def.function
(struct_specifier name: (_) body: (_)) @def.struct
(union_specifier name: (_) body: (_)) @def.struct
(enum_specifier name: (_) body: (_)) @def.enum
(call_expression function: (identifier) @call)
(call_expression function: (field_expression field: (field_identifier) @call))
(preproc_include) @import.include
(comment) @comment
(if_statement) @if
(else_clause (if_statement) @elseif)
(else_clause (_) @else .)
(for_statement) @loop
(while_statement) @loop
(do_statement) @loop
(switch_statement) @switch
(case_statement "case") @case
(conditional_expression) @ternary
(binary_expression operator: "&&") @and
(binary_expression operator: "||") @or
(preproc_if) @decision
(preproc_ifdef) @decision
(preproc_elif) @decision
(goto_statement) @jump
