(function_declaration) @def.function
(method_declaration) @def.method
(type_spec type: (struct_type)) @def.struct
(type_spec type: (interface_type)) @def.interface
(call_expression function: (identifier) @call)
(call_expression function: (selector_expression field: (field_identifier) @call))
(import_spec) @import.import
(comment) @comment
(if_statement) @if
(if_statement alternative: (if_statement) @elseif)
(if_statement alternative: (_) @else)
(for_statement) @loop
(expression_switch_statement) @switch
(type_switch_statement) @switch
(select_statement) @switch
(expression_case) @case
(type_case) @case
(communication_case) @case
(binary_expression operator: "&&") @and
(binary_expression operator: "||") @or
(func_literal) @lambda
(break_statement (label_name)) @jump
(continue_statement (label_name)) @jump
(goto_statement) @jump
