(function_declaration) @def.function
(init_declaration) @def.function
(class_declaration declaration_kind: ["class" "actor" "extension"]) @def.class
(class_declaration declaration_kind: "struct") @def.struct
(class_declaration declaration_kind: "enum") @def.enum
(protocol_declaration) @def.interface
(call_expression (simple_identifier) @call)
(call_expression (navigation_expression (navigation_suffix (simple_identifier) @call)))
(import_declaration) @import.import
(comment) @comment
(multiline_comment) @comment
(if_statement) @if
(if_statement (else) . (if_statement) @elseif)
(if_statement (else) @else . "{")
(guard_statement) @if
(for_statement) @loop
(while_statement) @loop
(repeat_while_statement) @loop
(catch_block) @catch
(switch_statement) @switch
(switch_entry (switch_pattern)) @case
(ternary_expression) @ternary
(conjunction_expression) @and
(disjunction_expression) @or
(nil_coalescing_expression) @decision
(lambda_literal) @lambda
